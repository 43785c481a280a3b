import { randomUUID } from 'node:crypto'
import type { Log } from '../../core/log.ts'
import type { UserEntry } from '../../core/project-entries.ts'
import type { AuthenticatedClient, Authenticator, Caller } from './authenticator.ts'
import { type Directory, findHolder, toGeneration } from './directory.ts'
import { grantedTo, narrow } from './permissions.ts'
import type { Grant, RefreshTokens } from './refresh.ts'
import {
  OAuthError,
  type RefreshRequest,
  type RevokeRequest,
  type TokenRequest,
} from './token-request.ts'
import type { Tokens } from './tokens.ts'

/**
 * `refreshToken` is missing for a client that needs no secret, and while the store is unavailable.
 */
export type Granted = {
  accessToken: string
  refreshToken: string | undefined
  permissions: readonly string[]
}

/** All throw OAuthError. */
export type Grants = {
  /** Answers a token request. */
  exchange(request: TokenRequest, caller: Caller): Promise<Granted>
  /** Answers a refresh token. Client credentials are optional, and must be right if they are there. */
  refresh(request: RefreshRequest, caller: Caller): Promise<Granted>
  /** Ends the session of a token. A token that is not valid needs no revocation. */
  revoke(request: RevokeRequest, caller: Caller): Promise<void>
}

export type GrantsOptions = {
  directory: Directory
  authenticator: Authenticator
  tokens: Tokens
  refreshTokens: RefreshTokens
  log: Log
}

/**
 * The three grants of RFC 6749 (client credentials, password and refresh token), and the revocation
 * of RFC 7009.
 */
export function createGrants({
  directory,
  authenticator,
  tokens,
  refreshTokens,
  log,
}: GrantsOptions): Grants {
  async function exchange(request: TokenRequest, caller: Caller): Promise<Granted> {
    if (!grantTypes.has(request.grantType))
      throw new OAuthError('unsupported_grant_type', `there is no grant "${request.grantType}"`)
    const authenticated = await authenticator.client(request.credentials, caller)
    const { client } = authenticated
    if (request.grantType === 'refresh_token') return await renew(request, client.id)
    const user =
      request.grantType === 'password'
        ? await authenticator.user({ ...request, client }, caller)
        : undefined
    const granted = await grant(authenticated, user, request.scope)
    const holder = { client: client.id, ...(user ? { user: user.id } : {}) }
    log.info({ security: 'login', ...holder, ip: caller.ip }, 'login')
    return granted
  }

  async function grant(
    { client, secretHash }: AuthenticatedClient,
    user: UserEntry | undefined,
    scope: Scope,
  ): Promise<Granted> {
    const permissions = toScope(grantedTo(client, user), scope)
    const holder: Grant = {
      kind: user ? 'user' : 'client',
      subject: user?.id ?? client.id,
      clientId: client.id,
      generation: toGeneration(secretHash, user),
      permissions,
    }
    // A public client without a user can request another access token at any time without a secret.
    const refresh = client.public && !user ? undefined : await issueRefreshToken(holder)
    // Every token has a session, so that every token can be revoked.
    const session = refresh?.session ?? randomUUID()
    const accessToken = await tokens.issue({ ...holder, session })
    return { accessToken, refreshToken: refresh?.token, permissions }
  }

  /**
   * While the store is unavailable, a login still gets an access token, without a refresh token.
   */
  async function issueRefreshToken(holder: Grant) {
    try {
      return await refreshTokens.issue(holder)
    } catch (error) {
      log.warn({ error: String(error) }, 'cannot store a refresh token; the login gets none')
      return undefined
    }
  }

  async function renew(asked: Renewal, clientId: string | undefined): Promise<Granted> {
    if (!asked.refreshToken) throw new OAuthError('invalid_request', 'refresh_token is missing')
    const { token, family } = await refreshTokens.redeem(asked.refreshToken, clientId)
    const holder = findHolder(directory, { ...family, id: family.subject })
    if (!holder) {
      await refreshTokens.revoke(family.id)
      throw new OAuthError(
        'invalid_grant',
        "the token's client or user no longer exists or has another secret",
      )
    }
    const granted = narrow(grantedTo(holder.client, holder.user), family.permissions)
    const permissions = toScope(granted, asked.scope)
    const accessToken = await tokens.issue({ ...family, permissions, session: family.id })
    return { accessToken, refreshToken: token, permissions }
  }

  async function refresh(request: RefreshRequest, caller: Caller): Promise<Granted> {
    const { refreshToken, credentials } = request
    const clientId = await checkCredentials(request, caller)
    return await renew({ refreshToken, scope: undefined }, clientId ?? credentials[0]?.id)
  }

  /** An id without a secret is no proof, so it only has to be the id of the token's client. */
  async function checkCredentials({ credentials }: RefreshRequest, caller: Caller) {
    if (credentials.every(({ secret }) => secret === undefined)) return undefined
    return (await authenticator.client(credentials, caller)).client.id
  }

  const revoke = createRevoke({ authenticator, tokens, refreshTokens })
  return { exchange, refresh, revoke }
}

function createRevoke({
  authenticator,
  tokens,
  refreshTokens,
}: Pick<GrantsOptions, 'authenticator' | 'tokens' | 'refreshTokens'>): Grants['revoke'] {
  async function findByAccessToken(token: string) {
    const read = await tokens.read(token)
    return 'claims' in read ? read.claims : undefined
  }

  return async ({ token, credentials }, caller) => {
    const { client } = await authenticator.client(credentials, caller)
    const found = (await refreshTokens.find(token)) ?? (await findByAccessToken(token))
    if (!found) return
    if (found.clientId !== client.id)
      throw new OAuthError('invalid_grant', 'the token was issued to another client')
    await refreshTokens.revoke(found.session)
  }
}

type Scope = readonly string[] | undefined
type Renewal = Pick<TokenRequest, 'refreshToken' | 'scope'>

const grantTypes = new Set(['client_credentials', 'password', 'refresh_token'])

function toScope(granted: readonly string[], asked: Scope): readonly string[] {
  const scope = asked && asked.length > 0 ? narrow(granted, asked) : granted
  if (scope.length === 0)
    throw new OAuthError('invalid_scope', 'no permission of this scope is granted')
  return scope
}
