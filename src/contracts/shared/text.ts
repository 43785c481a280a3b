import type { JsonText } from '../../core/event.ts'
import { shortTextLengthMax } from '../../core/limits.ts'

/** Cuts `text` at `charactersMax` code points. Never splits a surrogate pair. */
export function cutText(text: string, charactersMax: number): string {
  if (text.length <= charactersMax) return text
  const end = toIndexAfter(text, charactersMax)
  return end < text.length ? text.slice(0, end) : text
}

/** Cuts `text` at `bytesMax` bytes of UTF-8, between two characters. */
export function cutBytes(text: string, bytesMax: number): string {
  if (text.length * 3 <= bytesMax) return text
  const { read } = utf8.encodeInto(text, new Uint8Array(bytesMax))
  return read < text.length ? text.slice(0, read) : text
}

/** Whether `text` has more than `charactersMax` code points. */
export function isLongerThan(text: string, charactersMax: number): boolean {
  return text.length > charactersMax && toIndexAfter(text, charactersMax) < text.length
}

/** Whether `value` is a text of 1 to 200 characters: an id or a name. */
export function isShortText(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && !isLongerThan(value, shortTextLengthMax)
}

/** Whether `text` has more than `bytesMax` bytes of UTF-8. */
export function isLargerThan(text: string, bytesMax: number): boolean {
  if (text.length * 3 <= bytesMax) return false
  return text.length > bytesMax || Buffer.byteLength(text) > bytesMax
}

/**
 * Escapes `text` for a JSON string, without the quotes. Lone surrogates become U+FFFD. Nearly all
 * text is plain and is returned unchanged: `JSON.stringify` takes five times as long, and a slice
 * of its result makes the line slower to flatten.
 */
export function escapeJson(text: string): string {
  return plain.test(text) ? text : JSON.stringify(text.toWellFormed()).slice(1, -1)
}

/**
 * Replaces lone surrogates in the strings of JSON text by U+FFFD, because ClickHouse refuses a row
 * that has one. In the text they are escapes, `\udxxx`. Text without them is returned unchanged.
 */
export function toWellFormedJson(json: JsonText): JsonText {
  // Most text has no escape. A search for one character takes half the time of the pattern.
  if (!json.includes('\\') || !suspicious.test(json)) return json
  return json.replace(escapes, (text, lone: string | undefined) => (lone ? '\ufffd' : text))
}

const utf8 = new TextEncoder()

const plain = /^[ !#-[\]-~]*$/
const suspicious = /\\u[dD]/
/**
 * Matches surrogate pairs first, then lone surrogates, then any other escape. The last one consumes
 * an escaped backslash, so that `\\ud800` (a backslash and plain text) is not taken for a
 * surrogate.
 */
const escapes = /\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\(u[dD][89a-fA-F]..)|\\./g

function toIndexAfter(text: string, characters: number): number {
  let index = 0
  for (let left = characters; left > 0 && index < text.length; left -= 1) {
    index += text.codePointAt(index)! > 0xffff ? 2 : 1
  }
  return index
}
