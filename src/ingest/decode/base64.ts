import { type Payload, toText } from './payload.ts'

/**
 * The bytes of a base64 payload; undefined where it is none. A body must have whole groups of four; `isLoose`
 * takes what fields hold: no padding, and a space where a `+` was not escaped.
 */
export function decodeBase64(payload: Payload, isLoose: boolean): Uint8Array | undefined {
  const head = toText(payload.slice(0, headLength))
  if (!(isLoose ? looseHead : strictHead).test(head)) return undefined
  const text = toText(payload).trimEnd()
  if (!isLoose && text.length % 4 !== 0) return undefined
  try {
    return Uint8Array.fromBase64(withoutPadding(isLoose ? text.replaceAll(' ', '+') : text))
  } catch {
    return undefined
  }
}

/** Enough to tell base64 from anything else without reading a large body twice. */
const headLength = 128
const strictHead = /^[A-Za-z0-9+/]+={0,2}\s*$/
const looseHead = /^[A-Za-z0-9+/ \r\n]+={0,2}\s*$/

function withoutPadding(text: string): string {
  let end = text.length
  while (end > 0 && text[end - 1] === '=') end -= 1
  return text.slice(0, end)
}
