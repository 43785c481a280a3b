import { refusal } from '../chdb/exceptions.ts'

export type User = { name: string; password: string }

/** The server's own user: `default`, without a password. */
export const defaultUser: User = { name: 'default', password: '' }

/** Throws QueryError unless the request names this user, by URL, header or Basic authorisation, or none. */
export function assertUser(user: User, headers: Headers, search: URLSearchParams): void {
  const basic = /^basic\s+(.+)$/i.exec(headers.get('authorization') ?? '')?.[1] ?? ''
  const [, basicName, basicPassword] =
    /^([^:]*):(.*)$/s.exec(Buffer.from(basic, 'base64').toString()) ?? []
  const name = search.get('user') ?? headers.get('x-clickhouse-user') ?? basicName
  const password = search.get('password') ?? headers.get('x-clickhouse-key') ?? basicPassword
  if ((name || defaultUser.name) === user.name && (password ?? '') === user.password) return
  throw refusal('AUTHENTICATION_FAILED', `${name || defaultUser.name}: Authentication failed`)
}
