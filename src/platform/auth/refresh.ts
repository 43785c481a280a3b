import { createHash, randomBytes } from 'node:crypto'
import type { Clock } from '../../core/clock.ts'
import type { Log } from '../../core/log.ts'
import { OAuthError } from './oauth-error.ts'
import type { Family, RefreshStore, Rotated, Rotation } from './refresh-store.ts'

export type Grant = Pick<Family, 'clientId' | 'kind' | 'subject' | 'permissions'>

export type RefreshTokens = {
  /** A token of a new family. `session` is the family's public id. */
  issue(grant: Grant): Promise<{ token: string; session: string }>
  /**
   * Takes a token and gives the next of its family. Throws OAuthError `invalid_grant`; a token that was
   * replaced before revokes its family at once. `temporarily_unavailable` where the store is away.
   */
  redeem(token: string, clientId?: string): Promise<{ token: string; family: Family }>
  revoke(session: string): Promise<void>
}

/**
 * Refresh tokens: `handle.secret`, both random. The handle finds the family, by its hash, so that nobody who
 * knows a session's public id can make a token that looks like an old one of it.
 */
export function createRefreshTokens({
  store,
  refreshSeconds,
  now,
  log,
  onRevoked,
}: {
  store: RefreshStore
  refreshSeconds: number
  now: Clock
  log: Log
  onRevoked: (session: string) => void
}): RefreshTokens {
  const expiry = () => now() + refreshSeconds * 1000

  async function redeem(token: string, clientId?: string) {
    const parsed = parseToken(token)
    if (!parsed) throw invalidGrant()
    const id = toSession(parsed.handle)
    const secret = makeSecret()
    const rotated = await rotate({
      id,
      presentedHash: toHash(parsed.secret),
      nextHash: toHash(secret),
      expiresAtMs: expiry(),
      clientId,
      nowMs: now(),
    })
    if (rotated.outcome === 'reused') onRevoked(id)
    if (rotated.outcome !== 'rotated') throw invalidGrant()
    return { token: `${parsed.handle}.${secret}`, family: rotated.family }
  }

  /** Whether a token is still good cannot be guessed: while the store is away, the client has to wait. */
  async function rotate(rotation: Rotation): Promise<Rotated> {
    try {
      return await store.rotate(rotation)
    } catch (error) {
      log.warn({ error: String(error) }, 'a refresh token could not be looked up')
      throw new OAuthError('temporarily_unavailable', 'try again shortly', 1)
    }
  }

  return {
    async issue(grant) {
      const handle = randomBytes(18).toString('base64url')
      const secret = makeSecret()
      const session = toSession(handle)
      await store.create({
        ...grant,
        id: session,
        tokenHash: toHash(secret),
        expiresAtMs: expiry(),
      })
      return { token: `${handle}.${secret}`, session }
    },
    redeem,
    async revoke(session) {
      onRevoked(session)
      await store.revoke(session)
    },
  }
}

/** One sentence for every cause: which it was is nobody's business. */
const invalidGrant = () =>
  new OAuthError('invalid_grant', 'the refresh token is invalid, expired or revoked')

const makeSecret = () => randomBytes(32).toString('base64url')
const toHash = (secret: string) => createHash('sha256').update(secret).digest('base64url')
const toSession = (handle: string) => toHash(`session ${handle}`).slice(0, 24)

function parseToken(token: string): { handle: string; secret: string } | undefined {
  const match = /^([\w-]{24})\.([\w-]{43})$/.exec(token)
  return match ? { handle: match[1]!, secret: match[2]! } : undefined
}
