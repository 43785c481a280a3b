import { IngestError } from '../../core/errors.ts'
import { tokenBytesMax } from '../../core/limits.ts'

export type TokenPlaces = {
  /** The batch around the events, where there is one. */
  root: Record<string, unknown> | undefined
  events: readonly unknown[]
  /** May hold a `Token`. */
  headers: Headers
}

/**
 * The one token of a request. The batch root speaks for its events, else each event for itself, and
 * the header for those that say nothing. Throws missing_token, invalid_token and mixed_tokens.
 */
export function findToken({ root, events, headers }: TokenPlaces): string {
  const shared = root && rootToken(root)
  let token: unknown = shared
  let isSilent = false
  for (const event of events) {
    if (typeof event !== 'object' || event === null) continue
    const own = rootToken(event) || (shared ? undefined : propertyToken(event))
    if (!own) isSilent = true
    else if (!token) token = own
    else if (own !== token) throwMixed()
  }
  if (shared || (token && !isSilent)) return parseToken(token)
  const header = headers.get('token')
  if (header && token && header !== token) throwMixed()
  return parseToken(token || header)
}

type TokenFields = { token?: unknown; $token?: unknown; api_key?: unknown; properties?: unknown }

/** Empty counts as absent. */
function rootToken({ token, $token, api_key }: TokenFields): unknown {
  return token || $token || api_key
}

/** A property may be the client's own business, so only a string is taken for a token. */
function propertyToken({ properties }: TokenFields): string | undefined {
  const token = (properties as TokenFields | null | undefined)?.token
  return typeof token === 'string' ? token : undefined
}

const printable = /^[\x20-\x7e]+$/

function parseToken(token: unknown): string {
  if (!token) throw new IngestError('missing_token', 'no token in body, properties or Token header')
  if (typeof token !== 'string' || token.length > tokenBytesMax || !printable.test(token)) {
    throw new IngestError('invalid_token', `a token is at most ${tokenBytesMax} ASCII characters`)
  }
  if (token.startsWith('phx_')) {
    throw new IngestError('invalid_token', 'this is a personal API key; send the project token')
  }
  return token
}

function throwMixed(): never {
  throw new IngestError('mixed_tokens', 'the events of one request must carry one token')
}
