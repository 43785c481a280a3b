import zlib from 'node:zlib'
import lz from 'lz-string'
import { IngestError } from '../../../../src/core/errors.ts'
import type { Contract, DecodedBody, DecodeRules } from '../../../../src/core/protocol.ts'
import { type DecodeInput, decodeSmallBody } from '../../../../src/ingest/decode/body.ts'
import { createBodyWork } from '../../../../src/ingest/large-bodies/work.ts'

export const capture: DecodeRules = { bodyBytesMax: 2 * 1024 * 1024, forms: true, base64: true }
export const browser: DecodeRules = { ...capture, base64: false }
export const server: DecodeRules = { ...capture, forms: false, base64: false }

export const value = { event: 'page + view?', properties: { note: '事件 ÿ>?', n: 1 } }
export const json = JSON.stringify(value)
export const base64 = Buffer.from(json).toString('base64')
export const gzip = zlib.gzipSync(json)
export const gzip64 = gzip.toString('base64')
export const lz64 = lz.compressToBase64(json)
export const base64url = base64.replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '')

/** A body as browsers send a `FormData`. */
export function multipart(data: string | Uint8Array): Uint8Array {
  const head = 'Content-Disposition: form-data; name='
  const start = `--b0und\r\n${head}"other"\r\n\r\nx\r\n--b0und\r\n${head}"data"; filename="blob"\r\n\r\n`
  return Buffer.concat([Buffer.from(start), Buffer.from(data), Buffer.from('\r\n--b0und--\r\n')])
}
export const multipartType = 'multipart/form-data; boundary=b0und'
export const formType = 'application/x-www-form-urlencoded'

export type Sent = {
  body?: string | Uint8Array
  query?: string
  type?: string
  encoding?: string
  method?: string
  rules?: DecodeRules
  charge?: (bytes: number) => void
  reserveWork?: (bytes: number) => Promise<void> | undefined
}

/** Decodes a small body as the serving thread does, and a large one as the body thread does. */
export function decode({ body = '', query = '', type, encoding, ...rest }: Sent) {
  const headers = new Headers()
  if (type) headers.set('content-type', type)
  if (encoding) headers.set('content-encoding', encoding)
  const request = { method: rest.method ?? 'POST', query: new URLSearchParams(query), headers }
  const bytes = typeof body === 'string' ? new TextEncoder().encode(body) : body
  const { rules = capture, charge = () => {} } = rest
  const reserveAtOnce = (more: number) => {
    charge(more)
    return undefined
  }
  const ticket = {
    charge,
    reserveWork: rest.reserveWork ?? reserveAtOnce,
  }
  const input = { request, body: new Uint8Array(bytes), rules, ticket }
  const small = decodeSmallBody(input)
  if (small instanceof Promise) return small.then((body) => body ?? decodeLarge(input))
  return small ?? decodeLarge(input)
}

async function decodeLarge({ request, body, rules, ticket }: DecodeInput): Promise<DecodedBody> {
  let decoded: DecodedBody | undefined
  const contract = {
    decode: rules,
    parse(_: unknown, parsed: DecodedBody) {
      decoded = parsed
      return { credential: '', received: 0 }
    },
  } as unknown as Contract
  const head = { path: '/e', clientIp: '203.0.113.7', receivedMs: 0 }
  const work = createBodyWork(contract, { ...request, ...head }, body)
  await ticket.reserveWork(work.unwrap().workBytes)
  work.parse()
  return decoded!
}

export async function codeOf(sent: Sent): Promise<string> {
  try {
    await decode(sent)
    return 'accepted'
  } catch (error) {
    return error instanceof IngestError ? error.code : `threw ${String(error)}`
  }
}

export const form = (data: string, rest = '') => `data=${encodeURIComponent(data)}${rest}`
