import { createHash, randomBytes } from 'node:crypto'
import type { Clock } from '../../core/clock.ts'
import type { Log } from '../../core/log.ts'
import { OAuthError } from './token-request.ts'

export type RefreshTokens = {
  /** Issues a token of a new family. `session` is the family's public id. */
  issue(grant: Grant): Promise<{ token: string; session: string }>
  /**
   * Replaces a token by the next one of its family. Throws OAuthError `invalid_grant`; a token that
   * was replaced before also revokes its family. Throws `temporarily_unavailable` while the store
   * is unavailable.
   */
  redeem(token: string, clientId?: string): Promise<{ token: string; family: Family }>
  /** The family of a refresh token, current or replaced. Throws `temporarily_unavailable`. */
  find(token: string): Promise<{ clientId: string; session: string } | undefined>
  /**
   * Ends a session: its refresh token and its access tokens. Throws `temporarily_unavailable` if that
   * could not be stored; on this node the session has ended all the same.
   */
  revoke(session: string): Promise<void>
}

export type Grant = Pick<Family, 'clientId' | 'kind' | 'subject' | 'generation' | 'permissions'>

/**
 * A refresh token and all tokens that replace it. `id` is public (the `sid` claim); no token can be
 * derived from it. Only the hash of the current token is stored.
 */
export type Family = {
  id: string
  tokenHash: string
  clientId: string
  kind: 'user' | 'client'
  subject: string
  /** The secrets that the family was issued for (`toGeneration`). */
  generation: string
  permissions: readonly string[]
  expiresAtMs: number
  /** No rotation extends the family beyond this time. */
  endsAtMs: number
}

/** The replacement of a token. If `clientId` is given, it must be the family's. */
export type Rotation = {
  id: string
  presentedHash: string
  nextHash: string
  /** Cut to the end of the family. */
  expiresAtMs: number
  /** Until when the family's access tokens may be valid: a revocation is kept until then. */
  accessUntilMs: number
  clientId: string | undefined
  nowMs: number
}

/** `reused`: an old token of a known family. The same step has revoked the family. */
export type Rotated = { outcome: 'rotated'; family: Family } | { outcome: 'reused' | 'unknown' }

/**
 * Stores families across restarts. Each call is one atomic step, and rejects while the store is
 * unavailable.
 */
export type RefreshStore = {
  create(family: Family): Promise<void>
  rotate(rotation: Rotation): Promise<Rotated>
  clientOf(id: string): Promise<string | undefined>
  /** Kept at least until `untilMs`, also for a session that has no family. */
  revoke(id: string, untilMs: number): Promise<void>
  isRevoked(id: string): Promise<boolean>
  /** Deletes a bounded number of expired families, so that it can be called often. */
  purge(nowMs: number): Promise<void>
  close(): void
}

/**
 * Refresh tokens: `handle.secret`, both random. The family's id is a hash of the handle. So the
 * public id of a session is not enough to forge a token that looks like an old one of it, which
 * would revoke the session.
 */
export function createRefreshTokens({
  store,
  accessSeconds,
  refreshSeconds,
  sessionSeconds,
  now,
  log,
  onRevoked,
}: {
  store: RefreshStore
  accessSeconds: number
  refreshSeconds: number
  /** From the login on; no rotation extends it. */
  sessionSeconds: number
  now: Clock
  log: Log
  onRevoked: (session: string) => void
}): RefreshTokens {
  const toExpiryMs = () => now() + refreshSeconds * 1000
  const toAccessUntilMs = () => now() + accessSeconds * 1000

  async function redeem(token: string, clientId?: string) {
    const parsed = toParts(token)
    if (!parsed) throw invalidGrant()
    const id = toSession(parsed.handle)
    const secret = createSecret()
    const rotation = {
      ...{ id, presentedHash: toHash(parsed.secret), nextHash: toHash(secret), clientId },
      ...{ expiresAtMs: toExpiryMs(), accessUntilMs: toAccessUntilMs(), nowMs: now() },
    }
    const rotated = await ask(() => store.rotate(rotation))
    if (rotated.outcome === 'reused') onRevoked(id)
    if (rotated.outcome !== 'rotated') throw invalidGrant()
    return { token: `${parsed.handle}.${secret}`, family: rotated.family }
  }

  /**
   * While the store is unavailable, the state of a token is unknown, so the client has to wait.
   */
  async function ask<T>(call: () => Promise<T>): Promise<T> {
    try {
      return await call()
    } catch (error) {
      log.warn(
        { error: String(error) },
        'the store of refresh tokens is unavailable; the client is asked to retry',
      )
      throw new OAuthError('temporarily_unavailable', 'try again shortly', 1)
    }
  }

  return {
    async issue(grant) {
      const handle = randomBytes(18).toString('base64url')
      const secret = createSecret()
      const session = toSession(handle)
      const endsAtMs = now() + sessionSeconds * 1000
      await store.create({
        ...grant,
        id: session,
        tokenHash: toHash(secret),
        expiresAtMs: Math.min(toExpiryMs(), endsAtMs),
        endsAtMs,
      })
      return { token: `${handle}.${secret}`, session }
    },
    redeem,
    async find(token) {
      const parsed = toParts(token)
      if (!parsed) return undefined
      const session = toSession(parsed.handle)
      const clientId = await ask(() => store.clientOf(session))
      return clientId === undefined ? undefined : { clientId, session }
    },
    async revoke(session) {
      onRevoked(session)
      await ask(() => store.revoke(session, toAccessUntilMs()))
    },
  }
}

/** One message for all causes: the client must not learn which one it was. */
const invalidGrant = () =>
  new OAuthError('invalid_grant', 'the refresh token is invalid, expired or revoked')

const createSecret = () => randomBytes(32).toString('base64url')
const toHash = (secret: string) => createHash('sha256').update(secret).digest('base64url')
const toSession = (handle: string) => toHash(`session ${handle}`).slice(0, 24)

function toParts(token: string): { handle: string; secret: string } | undefined {
  const match = /^([\w-]{24})\.([\w-]{43})$/.exec(token)
  return match ? { handle: match[1]!, secret: match[2]! } : undefined
}
