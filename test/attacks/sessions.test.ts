import { expect, test } from 'bun:test'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { askToken, createClients } from '../services/platform/support.ts'
import { sendBeside } from '../support/beside.ts'
import { temporaryFolder } from '../support/folder.ts'
import { collect, send } from '../support/socket-host.ts'
import { type Spillway, startSpillway } from '../support/spillway.ts'
import { until } from '../support/until.ts'

const cost = { algorithm: 'argon2id', memoryCost: 1024, timeCost: 1 } as const
const hash = (secret: string) => Bun.password.hash(secret, cost)
const [appHash, otherHash, adaHash] = await Promise.all(['app', 'other', 'ada'].map(hash))

const clientOf = (id: string, secrets: string) =>
  `[[clients]]\nid = "${id}"\n${secrets}\npermissions = ["private:*"]\n`
const app = clientOf('app', `secret_hash = "${appHash}"`)
const other = clientOf('other', `secret_hash = "${otherHash}"`)
const userOf = (password: string) =>
  `[[users]]\nid = "u1"\nusername = "ada"\npassword_hash = "${password}"\n`
const ada = userOf(adaHash!)
const page = '[[projects]]\nid = "phc_beside"\ntokens = ["phc_beside"]\n'

const clientLogin = { grant_type: 'client_credentials', client_id: 'app', client_secret: 'app' }
const userLogin = { ...clientLogin, grant_type: 'password', username: 'ada', password: 'ada' }
const otherLogin = { ...clientLogin, client_id: 'other', client_secret: 'other' }

const verify = async ({ url }: Spillway, token: string) => {
  const headers = { authorization: `Bearer ${token}` }
  return (await fetch(`${url}/api/auth/verify`, { headers })).status
}
const refresh = async ({ url }: Spillway, refresh_token: string | undefined) =>
  (await askToken(url, { refresh_token }, { path: '/api/auth/refresh' })).status

test.each([
  ['the secret of a client', clientLogin, [clientOf('app', `secret_hash = "${otherHash}"`), ada]],
  ['a client', clientLogin, [ada]],
  [
    'the secret of the client of a user',
    userLogin,
    [clientOf('app', `secret_hash = "${otherHash}"`), ada],
  ],
  ['the password of a user', userLogin, [app, userOf(otherHash!)]],
  ['a user', userLogin, [app]],
])(
  'replacing or removing %s ends its tokens, refresh tokens and sockets, and no others',
  async (_, login, after) => {
    using folder = temporaryFolder()
    const path = join(folder.path, 'projects.toml')
    writeFileSync(path, [page, other, app, ada].join('\n'))
    await using server = await startSpillway({ PROJECTS_FILE: path })
    using clients = createClients()
    const beside = await sendBeside(server)
    const { body: stolen } = await askToken(server.url, login)
    const { body: honest } = await askToken(server.url, otherLogin)
    const thief = clients.connect(server.url, stolen.access_token)
    const friend = clients.connect(server.url, honest.access_token)
    await until(() => thief.connected && friend.connected, { what: 'both sockets' })
    expect(await send(thief, 'subscribe', { topic: 'public:a' })).toMatchObject({
      status: 'success',
    })
    const faults = collect(thief, 'auth_error')
    writeFileSync(path, [page, other, ...after].join('\n'))
    await until(() => !thief.connected, { what: 'the end of the socket' })
    expect(faults).toMatchObject([{ code: 'token_revoked' }])
    expect(await verify(server, stolen.access_token)).toBe(401)
    expect(await refresh(server, stolen.refresh_token)).toBe(400)

    expect(friend.connected).toBe(true)
    expect(await verify(server, honest.access_token)).toBe(200)
    expect(await refresh(server, honest.refresh_token)).toBe(200)
    expect((await beside.end()).failures).toEqual([])
  },
  60_000,
)

test('a client with two secrets keeps its tokens until the secret they were issued for is removed', async () => {
  using folder = temporaryFolder()
  const path = join(folder.path, 'projects.toml')
  const newHash = await hash('new')
  writeFileSync(path, app)
  await using server = await startSpillway({ PROJECTS_FILE: path, RATE_AUTH_PER_MINUTE: '0' })
  const { body: old } = await askToken(server.url, clientLogin)
  writeFileSync(path, clientOf('app', `secret_hashes = ["${newHash}", "${appHash}"]`))
  const byNew = { ...clientLogin, client_secret: 'new' }
  // The secret is unknown until the file is read: each try is a failure, and the next ones wait.
  await until(async () => (await askToken(server.url, byNew)).status === 200, {
    pauseMs: 500,
    what: 'the second secret',
  })
  expect((await askToken(server.url, clientLogin)).status).toBe(200)
  expect(await verify(server, old.access_token)).toBe(200)
  const { body: fresh } = await askToken(server.url, byNew)
  writeFileSync(path, clientOf('app', `secret_hash = "${newHash}"`))
  await until(async () => (await verify(server, old.access_token)) === 401, {
    pauseMs: 100,
    what: 'the end of the old token',
  })
  expect(await verify(server, fresh.access_token)).toBe(200)
  expect(await refresh(server, fresh.refresh_token)).toBe(200)
}, 60_000)

test('a revoked session stays revoked after a restart, and after its refresh token has expired', async () => {
  using folder = temporaryFolder()
  const path = join(folder.path, 'projects.toml')
  writeFileSync(path, [app, other, ada].join('\n'))
  await using server = await startSpillway({ PROJECTS_FILE: path, AUTH_REFRESH_SECONDS: '1' })
  using clients = createClients()
  const { body: mine } = await askToken(server.url, userLogin)
  const socket = clients.connect(server.url, mine.access_token)
  await until(() => socket.connected)
  const fields = { token: mine.refresh_token, client_id: 'app' }
  const revoke = (secret: object) =>
    askToken(server.url, { ...fields, ...secret }, { path: '/api/auth/revoke', form: true })
  expect((await revoke({})).status).toBe(401)
  expect((await revoke({ client_id: 'other', client_secret: 'other' })).status).toBe(400)
  expect(await verify(server, mine.access_token)).toBe(200)
  expect((await revoke({ client_secret: 'app' })).status).toBe(200)
  await until(() => !socket.connected, { what: 'the end of the socket' })
  expect(await verify(server, mine.access_token)).toBe(401)
  await server.stop()
  await server.start()
  // Longer than a refresh token lives, and two purges.
  const endMs = performance.now() + 11_000
  await until(() => performance.now() > endMs, { timeoutMs: 12_000, pauseMs: 500 })
  expect(await verify(server, mine.access_token)).toBe(401)
  expect(server.log()).toContain('"security":"session_revoked"')
  expect(server.log()).toContain('"security":"login"')
}, 60_000)
