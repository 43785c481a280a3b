import { randomUUID } from 'node:crypto'
import { errors, type JWTPayload, jwtVerify, SignJWT } from 'jose'
import type { Clock } from '../../core/clock.ts'
import { jsonGuard } from '../../core/json-guard.ts'
import type { Keys } from './keys.ts'

/**
 * The claims of an access token. `session` is the id of the refresh family that it came with, or an
 * id of its own. `generation` identifies the secrets that it was issued for (`toGeneration`).
 */
type Claims = {
  kind: 'user' | 'client'
  subject: string
  clientId: string
  generation: string
  permissions: readonly string[]
  session: string
  tokenId: string
  keyId: string
  expiresAtMs: number
}

type NewClaims = Omit<Claims, 'tokenId' | 'keyId' | 'expiresAtMs'>

export type TokenFault = 'token_missing' | 'token_invalid' | 'token_expired' | 'token_revoked'

export type Tokens = {
  issue(claims: NewClaims): Promise<string>
  /** Verifies a token. Does not check revocation. */
  read(token: string): Promise<{ claims: Claims } | { fault: TokenFault }>
}

/** Longer than any token that this server issues. A longer one is rejected without parsing. */
const tokenLengthMax = 16 * 1024
/**
 * The header is parsed before the signature is verified. Ours has about 120 characters; the bound
 * keeps a header of many names from the parser.
 */
const headerLengthMax = 512

/**
 * Access tokens by RFC 9068. A token names its key, and the key determines the algorithm. The
 * token's own `alg` must be equal, and never selects one.
 */
export function createTokens({
  keys,
  issuer,
  accessSeconds,
  now,
}: {
  keys: Keys
  issuer: string
  accessSeconds: number
  now: Clock
}): Tokens {
  async function issue(claims: NewClaims): Promise<string> {
    const key = keys.signing()
    const issuedAt = Math.floor(now() / 1000)
    return await new SignJWT(toPayload(claims))
      .setProtectedHeader({ alg: key.alg, kid: key.kid, typ: 'at+jwt' })
      .setIssuer(issuer)
      .setAudience(issuer)
      .setSubject(claims.subject)
      .setIssuedAt(issuedAt)
      .setExpirationTime(issuedAt + accessSeconds)
      .setJti(randomUUID())
      .sign(key.privateKey!)
  }

  async function read(token: string): Promise<{ claims: Claims } | { fault: TokenFault }> {
    const headerLength = token.indexOf('.')
    if (token.length > tokenLengthMax || headerLength > headerLengthMax)
      return { fault: 'token_invalid' }
    if (!isHeaderSafe(token.slice(0, headerLength))) return { fault: 'token_invalid' }
    try {
      const { payload, protectedHeader } = await jwtVerify(token, keyOf, {
        algorithms: ['EdDSA', 'RS256'],
        issuer,
        audience: issuer,
        typ: 'at+jwt',
        requiredClaims: ['sub', 'exp', 'jti', 'client_id', 'kind', 'scope', 'sid', 'gen'],
        currentDate: new Date(now()),
      })
      return { claims: toClaims(payload, protectedHeader.kid!) }
    } catch (error) {
      return { fault: error instanceof errors.JWTExpired ? 'token_expired' : 'token_invalid' }
    }
  }

  function keyOf({ kid, alg }: { kid?: string; alg?: string }): CryptoKey {
    const key = keys.find(kid, alg)
    if (!key) throw new errors.JWKSNoMatchingKey()
    return key.publicKey
  }
  return { issue, read }
}

/**
 * Parses the header by the guard, so that names that collide do not add up over many tokens. The
 * payload is parsed only if the signature is valid.
 */
function isHeaderSafe(header: string): boolean {
  try {
    jsonGuard.parse(Buffer.from(header, 'base64url').toString())
    return !jsonGuard.takeCollision()
  } catch {
    return false
  }
}

function toPayload({ kind, clientId, generation, permissions, session }: NewClaims): JWTPayload {
  const scope = permissions.join(' ')
  return { client_id: clientId, kind, scope, sid: session, gen: generation }
}

/** Total: the signature is verified, so this server wrote the claims. */
function toClaims(payload: JWTPayload, keyId: string): Claims {
  return {
    kind: payload.kind as Claims['kind'],
    subject: payload.sub!,
    clientId: payload.client_id as string,
    generation: payload.gen as string,
    permissions: (payload.scope as string).split(' ').filter((scope) => scope !== ''),
    session: payload.sid as string,
    tokenId: payload.jti!,
    keyId,
    expiresAtMs: payload.exp! * 1000,
  }
}
