/**
 * Texts that collide in the runtime's hash (rapidhash with its public secret): 4 fixed characters, 8
 * free ones, 4 fixed ones, all Latin-1. No two calls return the same text.
 */
export function collidingTexts(count: number): string[] {
  return Array.from({ length: count }, () => {
    used += 1
    return `\u0093K\u00b8\u008b${toLetters(used)}\u00c9\u00ac.\u0096`
  })
}

let used = 0

function toLetters(number: number): string {
  let text = ''
  for (let rest = number; text.length < 8; rest = Math.floor(rest / 26)) {
    text += String.fromCharCode(97 + (rest % 26))
  }
  return text
}

/**
 * The members of an object, as JSON text: an object of such names would take this process as long as
 * the server.
 */
export const collidingNames = (count: number): string =>
  collidingTexts(count)
    .map((name) => `${JSON.stringify(name)}:1`)
    .join(',')
