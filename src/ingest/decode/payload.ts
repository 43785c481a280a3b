import { isAscii } from 'node:buffer'

import { IngestError } from '../../core/errors.ts'

/**
 * A body, or what is left of it after some layers are removed: bytes, or text if it came from a
 * form field.
 */
export type Payload = Uint8Array | string

/** Throws body_too_large. */
export function assertFits(bytes: number, bytesMax: number): void {
  if (bytes > bytesMax)
    throw new IngestError('body_too_large', `the body exceeds ${bytesMax} bytes`)
}

const utf8 = new TextDecoder()

/** UTF-8 without its byte order mark; invalid bytes become U+FFFD. */
export function toText(payload: Payload): string {
  if (typeof payload === 'string') return payload
  // Measured with 573 bytes: half the time of the decoder.
  if (isAscii(payload)) return latin1Slice.call(payload, 0, payload.length)
  return utf8.decode(payload)
}

/** Buffer's own function below `toString`, which takes any Uint8Array. */
const { latin1Slice } = Buffer.prototype as unknown as {
  latin1Slice(this: Uint8Array, start: number, end: number): string
}

/** Smaller buffers may come from a pool, and cost little. */
const discardBytesMin = 64 * 1024

/**
 * Frees a large buffer at once: the garbage collector would let several of them accumulate first.
 */
export function discard(payload: Payload): void {
  if (typeof payload === 'string' || payload.length < discardBytesMin) return
  const { buffer } = payload
  const isWhole = payload.length === buffer.byteLength
  if (isWhole && buffer instanceof ArrayBuffer) buffer.transfer(0)
}

export function payloadBytes(payload: Payload): number {
  return typeof payload === 'string' ? Buffer.byteLength(payload) : payload.length
}

export function isBlank(payload: Payload): boolean {
  return payload.length === leadLength(payload)
}

/** Whether the first character opens an object or an array. No contract accepts anything else. */
export function isJsonLike(payload: Payload): boolean {
  const first = codeAt(payload, leadLength(payload))
  return first === brace || first === bracket
}

const brace = '{'.charCodeAt(0)
const bracket = '['.charCodeAt(0)
const whitespace = new Set([...' \t\n\r'].map((char) => char.charCodeAt(0)))

/** The length of the leading byte order mark and white space. */
function leadLength(payload: Payload): number {
  let length = 0
  if (codeAt(payload, 0) === 0xef && codeAt(payload, 1) === 0xbb && codeAt(payload, 2) === 0xbf) {
    length = 3
  }
  while (whitespace.has(codeAt(payload, length))) length += 1
  return length
}

/** -1 beyond the end. */
function codeAt(payload: Payload, index: number): number {
  if (typeof payload !== 'string') return payload[index] ?? -1
  return index < payload.length ? payload.charCodeAt(index) : -1
}
