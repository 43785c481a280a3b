import type { Log } from '../../core/log.ts'
import type { ClientEntry, UserEntry } from '../../core/project-entries.ts'
import { type Directory, findHolder } from './directory.ts'
import { OAuthError } from './oauth-error.ts'
import type { Parties } from './parties.ts'
import { grantedTo, narrow } from './permissions.ts'
import type { Grant, RefreshTokens } from './refresh.ts'
import type { TokenRequest } from './token-request.ts'
import type { Tokens } from './tokens.ts'

/** What was granted. `refreshToken` is missing where the client can just as well ask again. */
export type Granted = {
  accessToken: string
  refreshToken: string | undefined
  permissions: readonly string[]
}

export type Grants = {
  /** Answers a token request. Throws OAuthError. */
  exchange(request: TokenRequest): Promise<Granted>
  /** Answers a refresh token that comes without its client's credentials. Throws OAuthError. */
  refresh(refreshToken: string): Promise<Granted>
}

/** The three grants. Who asks is settled first, then for whom, then how much of it. */
export function createGrants({
  directory,
  parties,
  tokens,
  refreshTokens,
  log,
}: {
  directory: Directory
  parties: Parties
  tokens: Tokens
  refreshTokens: RefreshTokens
  log: Log
}): Grants {
  async function exchange(request: TokenRequest): Promise<Granted> {
    if (!grantTypes.has(request.grantType))
      throw new OAuthError('unsupported_grant_type', `there is no grant "${request.grantType}"`)
    const client = await parties.client(request)
    if (request.grantType === 'refresh_token') return await renew(request, client.id)
    const user = request.grantType === 'password' ? await parties.user(request) : undefined
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
    // Whoever needs no secret to ask again needs no refresh token either.
    const refresh = client.public && !user ? undefined : await issueRefreshToken(holder)
    const accessToken = await tokens.issue({ ...holder, session: refresh?.session })
    return { accessToken, refreshToken: refresh?.token, permissions }
  }

  /** A refresh token is a convenience: with its store away, the access token alone must do. */
  async function issueRefreshToken(holder: Grant) {
    try {
      return await refreshTokens.issue(holder)
    } catch (error) {
      log.warn({ error: String(error) }, 'no refresh token could be stored')
      return undefined
    }
  }

  async function renew(asked: Renewal, clientId: string | undefined): Promise<Granted> {
    if (!asked.refreshToken) throw new OAuthError('invalid_request', 'refresh_token is missing')
    const { token, family } = await refreshTokens.redeem(asked.refreshToken, clientId)
    const holder = findHolder(directory, { ...family, id: family.subject })
    if (!holder) {
      await refreshTokens.revoke(family.id)
      throw new OAuthError('invalid_grant', 'whom the token was issued to is no longer known')
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
  if (scope.length === 0) throw new OAuthError('invalid_scope', 'nothing of that scope is granted')
  return scope
}
