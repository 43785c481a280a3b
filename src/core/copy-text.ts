/**
 * The first characters of a text, in memory of their own. A part of a string holds the whole string
 * in the runtime: what is remembered of a stranger's text would otherwise keep all of it.
 */
export function copyText(text: string, charsMax: number): string {
  const cut = text.length > charsMax ? text.slice(0, charsMax) : text
  return Buffer.from(cut, 'utf16le').toString('utf16le')
}
