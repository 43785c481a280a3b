import type { Log } from '../../core/log.ts'
import { type Directory, findHolder } from './directory.ts'
import type { Keys } from './keys.ts'
import { coversAll, grantedTo, narrow } from './permissions.ts'
import type { RefreshStore } from './refresh.ts'
import type { TokenFault, Tokens } from './tokens.ts'

/** The holder of a valid access token, with the permissions of now. */
export type Identity = {
  kind: 'user' | 'client'
  id: string
  clientId: string
  email: string | undefined
  name: string | undefined
  permissions: readonly string[]
  expiresAtMs: number
  /** The public id of the refresh family that the token came with, or an id of its own. */
  session: string
  /** The secrets that the token was issued for (`toGeneration`). */
  generation: string
  keyId: string
}

export type Authentication = { identity: Identity } | { fault: TokenFault }

export type Identities = {
  /** Verifies an access token, bare or as `Bearer <token>`. */
  authenticate(credential: unknown): Promise<Authentication>
  /**
   * Whether the projects file, the keys and the sessions revoked on this node still allow an
   * identity. Cheap, for long-lived sockets. Ignores the expiry, and revocations on other nodes.
   */
  isCurrent(identity: Identity): boolean
  /** Records that a session was revoked. */
  revoked(session: string): void
}

/**
 * Sessions revoked on this node, kept so that live sockets end at once. The oldest are dropped
 * first.
 */
const revokedMax = 10_000

export function createIdentities({
  tokens,
  keys,
  directory,
  store,
  log,
}: {
  tokens: Tokens
  keys: Keys
  directory: Directory
  store: RefreshStore
  log: Log
}): Identities {
  const revokedHere = new Set<string>()

  async function isRevoked(session: string): Promise<boolean> {
    if (revokedHere.has(session)) return true
    try {
      return await store.isRevoked(session)
    } catch (error) {
      // Access tokens are short-lived: an unavailable store must not reject all of them.
      log.warn(
        { error: String(error) },
        'cannot look up a revocation; the token counts as not revoked',
      )
      return false
    }
  }

  async function authenticate(credential: unknown): Promise<Authentication> {
    const token = toToken(credential)
    if (token === undefined) return { fault: 'token_missing' }
    const read = await tokens.read(token)
    if ('fault' in read) return read
    const { claims } = read
    const holder = findHolder(directory, { ...claims, id: claims.subject })
    if (!holder || (await isRevoked(claims.session))) return { fault: 'token_revoked' }
    return {
      identity: {
        kind: claims.kind,
        id: claims.subject,
        clientId: claims.clientId,
        email: holder.user?.email,
        name: holder.user?.name,
        permissions: narrow(grantedTo(holder.client, holder.user), claims.permissions),
        expiresAtMs: claims.expiresAtMs,
        session: claims.session,
        generation: claims.generation,
        keyId: claims.keyId,
      },
    }
  }

  function isCurrent(identity: Identity): boolean {
    if (revokedHere.has(identity.session)) return false
    const holder = findHolder(directory, identity)
    if (!holder || !keys.has(identity.keyId)) return false
    return coversAll(grantedTo(holder.client, holder.user), identity.permissions)
  }

  function revoked(session: string): void {
    const [oldest] = revokedHere
    if (revokedHere.size >= revokedMax && oldest !== undefined) revokedHere.delete(oldest)
    revokedHere.add(session)
  }
  return { authenticate, isCurrent, revoked }
}

function toToken(credential: unknown): string | undefined {
  if (typeof credential !== 'string') return undefined
  const token = credential.replace(/^Bearer +/i, '').trim()
  return token === '' ? undefined : token
}
