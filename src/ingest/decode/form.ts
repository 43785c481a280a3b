import type { Payload } from './payload.ts'

export type Form = { data: string | undefined; compression: string | undefined }

/**
 * Reads the two fields that contracts use. Written by hand: URLSearchParams builds every field, and
 * needs seconds and hundreds of megabytes for a 20 MB body of `a&a&…`.
 */
export function parseForm(text: string): Form {
  return { data: toField(text, 'data'), compression: toField(text, 'compression') }
}

/**
 * Reads the same fields of a `multipart/form-data` body, which beacons send for a `FormData`.
 * Undefined for any other content type. A field's bytes are a view on the body.
 */
export function parseMultipart(
  body: Uint8Array,
  contentType: string | null,
): { data: Uint8Array | undefined; compression: string | undefined } | undefined {
  const boundary = boundaryPattern.exec(contentType ?? '')?.[1]
  if (boundary === undefined) return undefined
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength)
  const delimiter = `--${boundary}`
  const fields: Record<string, Uint8Array> = {}
  let at = bytes.indexOf(delimiter)
  for (let part = 0; part < partsMax && at >= 0; part += 1) {
    const headEnd = bytes.indexOf('\r\n\r\n', at)
    const end = bytes.indexOf(`\r\n${delimiter}`, at + delimiter.length)
    if (headEnd < 0 || end < headEnd) break
    const head = bytes.toString('latin1', at, Math.min(headEnd, at + partHeadBytesMax))
    const name = /\bname="(data|compression)"/.exec(head)?.[1]
    if (name) fields[name] ??= bytes.subarray(headEnd + 4, end)
    at = end + 2
  }
  const compression = fields.compression && Buffer.from(fields.compression).toString('latin1')
  return { data: fields.data, compression }
}

const boundaryPattern = /^\s*multipart\/form-data\s*;.*?\bboundary="?([\w'()+,./:=?-]{1,70})"?/i
/** A beacon has two fields. */
const partsMax = 20
const partHeadBytesMax = 1024

/**
 * For forms that browsers' beacons send as text/plain. Neither JSON nor base64 starts with these
 * names.
 */
export function isFormLike(payload: Payload): boolean {
  return starts.some((start) =>
    typeof payload === 'string'
      ? payload.startsWith(start)
      : payload.length >= start.length &&
        start === String.fromCharCode(...payload.subarray(0, start.length)),
  )
}

const starts = ['data=', 'compression=']

/**
 * The client's statement how its payload is compressed: in `?compression=`, a form field or
 * Content-Encoding.
 */
export type Hint = 'gzip' | 'lz64' | 'base64'

/** Case-insensitive; unknown names are ignored. */
export function toHint(text: string | null | undefined): Hint | undefined {
  return text ? hints.get(text.trim().toLowerCase()) : undefined
}

const hints = new Map<string, Hint>([
  ['gzip', 'gzip'],
  ['gzip-js', 'gzip'],
  ['lz64', 'lz64'],
  ['lz-string', 'lz64'],
  ['base64', 'base64'],
  ['b64', 'base64'],
])

function toField(text: string, name: string): string | undefined {
  const start = text.startsWith(`${name}=`) ? 0 : text.indexOf(`&${name}=`) + 1
  if (start === 0 && !text.startsWith(`${name}=`)) return undefined
  const from = start + name.length + 1
  const end = text.indexOf('&', from)
  return toValue(text.slice(from, end < 0 ? undefined : end))
}

function toValue(raw: string): string {
  if (!raw.includes('+')) {
    const value = unescapeBase64(raw)
    if (!value.includes('%')) return value
  }
  return new URLSearchParams(`value=${raw}`).get('value') ?? ''
}

/**
 * Fast path: base64 has only these three escapes. Replacing them takes a third of the parser's
 * time.
 */
const unescapeBase64 = (raw: string) =>
  raw.replaceAll('%2B', '+').replaceAll('%2F', '/').replaceAll('%3D', '=')
