import type { JsonText } from '../../core/event.ts'

/** `text` cut at `charactersMax` code points: no surrogate pair is ever split. */
export function cutText(text: string, charactersMax: number): string {
  if (text.length <= charactersMax) return text
  const end = toIndexAfter(text, charactersMax)
  return end < text.length ? text.slice(0, end) : text
}

/** `text` cut at `bytesMax` bytes of UTF-8, between characters. */
export function cutBytes(text: string, bytesMax: number): string {
  if (text.length * 3 <= bytesMax) return text
  const { read } = utf8.encodeInto(text, new Uint8Array(bytesMax))
  return read < text.length ? text.slice(0, read) : text
}

/** Whether `text` has more than `charactersMax` code points. */
export function isLongerThan(text: string, charactersMax: number): boolean {
  return text.length > charactersMax && toIndexAfter(text, charactersMax) < text.length
}

/**
 * What stands between the quotes of `text` as a well-formed JSON string. Nearly all is plain, and
 * is returned as it is: `JSON.stringify` takes five times as long, and a string in a string makes
 * the line slower to flatten.
 */
export function escapeJson(text: string): string {
  return plain.test(text) ? text : JSON.stringify(text.toWellFormed()).slice(1, -1)
}

/**
 * JSON text whose strings hold no lone surrogate: each becomes U+FFFD. ClickHouse refuses a row
 * with one. They stand there as escapes, `\udxxx`; text without any is returned as it is.
 */
export function toWellFormedJson(json: JsonText): JsonText {
  // Most text holds no escape at all, and a single character is searched for in half the time.
  if (!json.includes('\\') || !suspicious.test(json)) return json
  return json.replace(escapes, (text, lone: string | undefined) => (lone ? '\ufffd' : text))
}

const utf8 = new TextEncoder()

const plain = /^[ !#-[\]-~]*$/
const suspicious = /\\u[dD]/
/**
 * Escapes one by one, so that an escaped backslash before `ud800` is none; pairs before lone
 * halves.
 */
const escapes = /\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\(u[dD][89a-fA-F]..)|\\./g

function toIndexAfter(text: string, characters: number): number {
  let index = 0
  for (let left = characters; left > 0 && index < text.length; left -= 1) {
    index += text.codePointAt(index)! > 0xffff ? 2 : 1
  }
  return index
}
