import type { Log } from '../../core/log.ts'
import type { ClientEntry, UserEntry } from '../../core/project-entries.ts'
import type { Directory } from './directory.ts'
import type { Account, LoginDelays } from './login-delays.ts'
import type { Secrets } from './secrets.ts'
import { type ClientCredentials, OAuthError } from './token-request.ts'

/** The sender of a request: its address for the log, and the name that limits count by. */
export type Caller = { ip: string; sender: string }

/** `secretHash`: the hash that its secret matched; undefined for a public client. */
export type AuthenticatedClient = { client: ClientEntry; secretHash: string | undefined }

/** Both throw OAuthError: the same one for an unknown name as for a wrong secret. */
export type Authenticator = {
  client(credentials: readonly ClientCredentials[], caller: Caller): Promise<AuthenticatedClient>
  user(login: Login, caller: Caller): Promise<UserEntry>
}

type Login = {
  username: string | undefined
  password: string | undefined
  client: ClientEntry
}

export type AuthenticatorOptions = {
  directory: Directory
  secrets: Secrets
  delays: LoginDelays
  log: Log
}

export function createAuthenticator({
  directory,
  secrets,
  delays,
  log,
}: AuthenticatorOptions): Authenticator {
  async function client(
    credentials: readonly ClientCredentials[],
    caller: Caller,
  ): Promise<AuthenticatedClient> {
    const found = credentials.flatMap(({ id }) => directory.findClient(id) ?? [])[0]
    if (found?.public) return { client: found, secretHash: undefined }
    const asked = credentials.filter(({ id }) => !found || id === found.id)
    const name = found?.id ?? credentials[0]?.id ?? ''
    const hashes = found?.secretHashes ?? directory.decoysOf('client', name)
    const pairs = asked.flatMap(({ secret }) =>
      secret === undefined ? [] : hashes.map((hash) => ({ secret, hash })),
    )
    const attempt = delays.attempt(caller.sender, [clientAccount(name)])
    const secretHash = pairs.length > 0 ? await secrets.verify(pairs, attempt) : undefined
    if (found && secretHash !== undefined) return { client: found, secretHash }
    log.warn(
      { security: 'client_rejected', client: found?.id ?? '(unknown)', ip: caller.ip },
      'client authentication failed',
    )
    throw new OAuthError('invalid_client', 'unknown client or wrong secret')
  }

  async function user({ username, password, client }: Login, caller: Caller): Promise<UserEntry> {
    if (!username) throw new OAuthError('invalid_request', 'username is missing')
    if (!password) throw new OAuthError('invalid_request', 'password is missing')
    const found = directory.findUser(username)
    const hashes = found ? [found.passwordHash] : directory.decoysOf('user', username)
    const pairs = hashes.map((hash) => ({ secret: password, hash }))
    const accounts = [userAccount(username), loginsOf(client)]
    const isMatch =
      (await secrets.verify(pairs, delays.attempt(caller.sender, accounts))) !== undefined
    if (found && isMatch) return found
    // Never log the submitted name: users type their password into that field by mistake.
    log.warn(
      {
        security: 'login_failed',
        user: found?.id ?? '(unknown)',
        client: client.id,
        ip: caller.ip,
      },
      'login failed',
    )
    throw new OAuthError('invalid_grant', 'unknown user or wrong password')
  }

  return { client, user }
}

const clientAccount = (id: string): Account => ({
  name: `client ${id}`,
  failuresFree: 5,
  delaySecondsMax: 300,
})

const userAccount = (username: string): Account => ({
  name: `user ${username}`,
  failuresFree: 5,
  delaySecondsMax: 300,
})

/**
 * All logins through one client: bounds guesses of one password for many names. Many honest users may
 * share an address, so more failures are free and the delay stays short.
 */
const loginsOf = ({ id }: ClientEntry): Account => ({
  name: `logins ${id}`,
  failuresFree: 20,
  delaySecondsMax: 30,
})
