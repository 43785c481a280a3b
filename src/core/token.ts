/** A token is a project token or an API key. */
const tokenBytesMax = 64

/** States the rule of `toToken` in messages. */
export const tokenRule = `1 to ${tokenBytesMax} printable ASCII characters, and not a personal phx_ key`

/**
 * The one rule for tokens. Cuts off surrounding white space and quotes, because people paste tokens
 * with them. Returns undefined if the rest is not valid: 1 to 64 bytes of printable ASCII, not a
 * personal API key (`phx_…`), which is the secret of a user.
 */
export function toToken(written: string): string | undefined {
  const token = cutEdges(written)
  return valid.test(token) ? token : undefined
}

/** Whether this is a personal API key. It must never be used as a project token. */
export const isPersonalKey = (written: string): boolean => cutEdges(written).startsWith('phx_')

/**
 * API keys are secrets. They are stored, looked up and compared as their SHA-256, 64 hex digits.
 */
export function toKeyHash(key: string): string {
  return new Bun.CryptoHasher('sha256').update(key).digest('hex')
}

const valid = new RegExp(`^(?!phx_)[ -~]{1,${tokenBytesMax}}$`)

/**
 * By index rather than by a regular expression, which would take quadratic time for a long run of
 * spaces.
 */
function cutEdges(text: string): string {
  let start = 0
  let end = text.length
  while (start < end && isEdge(text.charCodeAt(start))) start += 1
  while (end > start && isEdge(text.charCodeAt(end - 1))) end -= 1
  return text.slice(start, end)
}

/** Tab to carriage return, space, double quote, single quote. */
const isEdge = (code: number) =>
  (code >= 9 && code <= 13) || code === 32 || code === 34 || code === 39
