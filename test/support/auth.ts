import { silentLog } from '../../src/core/log.ts'
import type { ClientEntry, UserEntry } from '../../src/core/project-entries.ts'
import { type Auth, type AuthOptions, createAuth } from '../../src/platform/auth/auth.ts'
import { createDirectory } from '../../src/platform/auth/directory.ts'
import { createSqliteRefreshStore } from '../../src/platform/auth/refresh-sqlite.ts'
import type { Verifier } from '../../src/platform/auth/secrets.ts'
import { temporaryFolder } from './folder.ts'

/** Accepts `hash:<secret>` as the hash of a secret, without delay. */
const instantVerifier: Verifier = {
  verify: async (secret, hash) => hash === `hash:${secret}`,
  close() {},
}

export const shop: ClientEntry = {
  id: 'shop',
  secretHashes: ['hash:shop-secret'],
  permissions: ['private:orders', 'private:stock:subscribe', 'system:notify'],
}
export const page: ClientEntry = { id: 'page', public: true, permissions: ['private:orders'] }
export const alice: UserEntry = {
  id: 'u1',
  username: 'alice',
  passwordHash: 'hash:wonderland',
  email: 'alice@example.com',
  name: 'Alice',
  permissions: ['private:*'],
}
export const bob: UserEntry = {
  id: 'u2',
  username: 'bob',
  passwordHash: 'hash:builder',
  permissions: [],
}

export type TestAuth = {
  auth: Auth
  folder: string
  /** The lists of the projects file. Assign another list to reload. */
  accounts: { clients: readonly ClientEntry[]; users: readonly UserEntry[] }
  clock: { nowMs: number }
  [Symbol.dispose](): void
}

export async function startAuth(overrides: Partial<AuthOptions> = {}): Promise<TestAuth> {
  const folder = temporaryFolder()
  const accounts: TestAuth['accounts'] = { clients: [shop, page], users: [alice, bob] }
  const clock = { nowMs: Date.parse('2026-01-01T12:00:00Z') }
  const auth = await createAuth({
    settings: {
      keysFile: undefined,
      issuer: 'spillway',
      accessSeconds: 3600,
      refreshSeconds: 86_400,
      sessionSeconds: 604_800,
      publicUrl: undefined,
      production: false,
      dataDir: folder.path,
    },
    directory: createDirectory({ clients: () => accounts.clients, users: () => accounts.users }),
    store: createSqliteRefreshStore({ folder: folder.path }),
    waitSeconds: () => 0,
    log: silentLog,
    now: () => clock.nowMs,
    verifier: instantVerifier,
    ...overrides,
  })
  return {
    auth,
    folder: folder.path,
    accounts,
    clock,
    [Symbol.dispose]() {
      auth.close()
      folder[Symbol.dispose]()
    },
  }
}

/** A request for a token, as JSON. */
export function post(fields: object, headers: Record<string, string> = {}): Request {
  return new Request('http://127.0.0.1/api/auth/token', {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(fields),
  })
}

/** The body of a token reply. Throws if the status is not 200. */
export async function tokenOf(auth: Auth, fields: object): Promise<TokenBody> {
  const reply = await auth.token(post(fields), '203.0.113.1')
  if (reply.status !== 200) throw new Error(`${reply.status} ${reply.body}`)
  return JSON.parse(reply.body!) as TokenBody
}

export type TokenBody = {
  access_token: string
  token_type: string
  expires_in: number
  refresh_token?: string
  scope: string[]
}

export const shopLogin = {
  grant_type: 'client_credentials',
  client_id: 'shop',
  client_secret: 'shop-secret',
}
export const aliceLogin = {
  grant_type: 'password',
  client_id: 'shop',
  client_secret: 'shop-secret',
  username: 'alice',
  password: 'wonderland',
}
export const bobLogin = { ...aliceLogin, username: 'bob', password: 'builder' }
