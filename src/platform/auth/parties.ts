import type { Log } from '../../core/log.ts'
import type { ClientEntry, UserEntry } from '../../core/project-entries.ts'
import type { Directory } from './directory.ts'
import { OAuthError } from './oauth-error.ts'
import type { Secrets } from './secrets.ts'
import type { TokenRequest } from './token-request.ts'

/** Who takes part in a token request. Both throw OAuthError, the same for nobody as for a wrong secret. */
export type Parties = {
  client(request: TokenRequest): Promise<ClientEntry>
  user(request: TokenRequest): Promise<UserEntry>
}

export function createParties({
  directory,
  secrets,
  log,
}: {
  directory: Directory
  secrets: Secrets
  log: Log
}): Parties {
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
    // Never the name: people type their password into that field.
    log.info({ user: found?.id ?? '(unknown)' }, 'login failed')
    throw new OAuthError('invalid_grant', 'unknown user or wrong password')
  }

  return { client, user }
}
