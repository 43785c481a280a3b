import type { Payload } from './payload.ts'

export type Form = { data: string | undefined; compression: string | undefined }

/**
 * The two fields of a form that matter. Cut out by hand, because a parser that builds every field turns a
 * 20 MB body of `a&a&…` into seconds and hundreds of megabytes.
 */
export function parseForm(text: string): Form {
  return { data: toField(text, 'data'), compression: toField(text, 'compression') }
}

/** Browsers' beacons send forms as text/plain; no JSON and no base64 begins like this. */
export function isFormLike(payload: Payload): boolean {
  return starts.some((start) =>
    typeof payload === 'string'
      ? payload.startsWith(start)
      : payload.length >= start.length &&
        start === String.fromCharCode(...payload.subarray(0, start.length)),
  )
}

const starts = ['data=', 'compression=']

function toField(text: string, name: string): string | undefined {
  const start = text.startsWith(`${name}=`) ? 0 : text.indexOf(`&${name}=`) + 1
  if (start === 0 && !text.startsWith(`${name}=`)) return undefined
  const from = start + name.length + 1
  const end = text.indexOf('&', from)
  return toValue(text.slice(from, end < 0 ? undefined : end))
}

function toValue(raw: string): string {
  if (!raw.includes('+')) {
    const value = toBase64(raw)
    if (!value.includes('%')) return value
  }
  return new URLSearchParams(`value=${raw}`).get('value') ?? ''
}

/** All that is escaped in base64. To search for these takes a third of the parser's time. */
const toBase64 = (raw: string) =>
  raw.replaceAll('%2B', '+').replaceAll('%2F', '/').replaceAll('%3D', '=')

/** How a client says its payload is packed, in `?compression=`, a form field or Content-Encoding. */
export type Hint = 'gzip' | 'lz64' | 'base64'

/** Case-insensitive; what is not known is ignored. */
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
