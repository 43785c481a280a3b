import type { Log } from '../../core/log.ts'
import type { ClientEntry, UserEntry } from '../../core/project-entries.ts'
import { type Directory, findHolder } from './directory.ts'
import { OAuthError } from './oauth-error.ts'
import { grantedTo, narrow } from './permissions.ts'
import type { Grant, RefreshTokens } from './refresh.ts'
import type { Secrets } from './secrets.ts'
import type { TokenRequest } from './token-request.ts'
import type { Tokens } from './tokens.ts'

/**
 * `refreshToken` is missing for a client that needs no secret, and while the store is unavailable.
 */
export type Granted = {
  accessToken: string
  refreshToken: string | undefined
  permissions: readonly string[]
}

export type Grants = {
  /** Answers a token request. Throws OAuthError. */
  exchange(request: TokenRequest): Promise<Granted>
  /** Answers a refresh token that comes without client credentials. Throws OAuthError. */
  refresh(refreshToken: string): Promise<Granted>
}

/** The three grants of RFC 6749: client credentials, password and refresh token. */
export function createGrants({
  directory,
  secrets,
  tokens,
  refreshTokens,
  log,
}: {
  directory: Directory
  secrets: Secrets
  tokens: Tokens
  refreshTokens: RefreshTokens
  log: Log
}): Grants {
  const authenticator = createAuthenticator({ directory, secrets, log })

  async function exchange(request: TokenRequest): Promise<Granted> {
    if (!grantTypes.has(request.grantType))
      throw new OAuthError('unsupported_grant_type', `there is no grant "${request.grantType}"`)
    const client = await authenticator.client(request)
    if (request.grantType === 'refresh_token') return await renew(request, client.id)
    const user = request.grantType === 'password' ? await authenticator.user(request) : undefined
    return await grant(client, user, request.scope)
  }

  async function grant(
    client: ClientEntry,
    user: UserEntry | undefined,
    scope: Scope,
  ): Promise<Granted> {
    const permissions = toScope(grantedTo(client, user), scope)
    const holder: Grant = {
      kind: user ? 'user' : 'client',
      subject: user?.id ?? client.id,
      clientId: client.id,
      permissions,
    }
    // A public client without a user can request another access token at any time without a secret.
    const refresh = client.public && !user ? undefined : await issueRefreshToken(holder)
    const accessToken = await tokens.issue({ ...holder, session: refresh?.session })
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
      throw new OAuthError('invalid_grant', "the token's client or user no longer exists")
    }
    const granted = narrow(grantedTo(holder.client, holder.user), family.permissions)
    const permissions = toScope(granted, asked.scope)
    const accessToken = await tokens.issue({ ...family, permissions, session: family.id })
    return { accessToken, refreshToken: token, permissions }
  }

  return {
    exchange,
    refresh: (refreshToken) => renew({ refreshToken, scope: undefined }, undefined),
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

/** Both throw OAuthError: the same one for an unknown name as for a wrong secret. */
type Authenticator = {
  client(request: TokenRequest): Promise<ClientEntry>
  user(request: TokenRequest): Promise<UserEntry>
}

function createAuthenticator({
  directory,
  secrets,
  log,
}: {
  directory: Directory
  secrets: Secrets
  log: Log
}): Authenticator {
  async function client({ clientId, clientSecret }: TokenRequest): Promise<ClientEntry> {
    const found = directory.findClient(clientId)
    if (found?.public) return found
    const isGenuine =
      clientSecret !== undefined && (await secrets.verify(clientSecret, found?.secretHash))
    if (found && isGenuine) return found
    log.info({ client: found?.id ?? '(unknown)' }, 'client authentication failed')
    throw new OAuthError('invalid_client', 'unknown client or wrong secret')
  }

  async function user({ username, password }: TokenRequest): Promise<UserEntry> {
    if (!username) throw new OAuthError('invalid_request', 'username is missing')
    if (!password) throw new OAuthError('invalid_request', 'password is missing')
    const found = directory.findUser(username)
    const isGenuine = await secrets.verify(password, found?.passwordHash)
    if (found && isGenuine) return found
    // Never log the submitted name: users type their password into that field by mistake.
    log.info({ user: found?.id ?? '(unknown)' }, 'login failed')
    throw new OAuthError('invalid_grant', 'unknown user or wrong password')
  }

  return { client, user }
}
