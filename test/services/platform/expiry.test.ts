import { expect, test } from 'bun:test'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from '../../support/folder.ts'
import { collect, next, send } from '../../support/socket-host.ts'
import { type Spillway, startSpillway } from '../../support/spillway.ts'
import { until } from '../../support/until.ts'
import { askToken, createClients, firstToken } from './support.ts'

test('an expired token ends its socket, and a new token opens another', async () => {
  await using server = await startSpillway({ AUTH_ACCESS_SECONDS: '2' })
  using clients = createClients()
  const { access_token, expires_in } = await firstToken(server)
  expect(expires_in).toBe(2)
  const socket = clients.connect(server.url, access_token)
  const [authError, ended] = [next(socket, 'auth_error'), next(socket, 'disconnect')]
  expect(await authError).toMatchObject({ code: 'token_expired' })
  expect(await ended).toBe('io server disconnect' as never)
  const headers = { authorization: `Bearer ${access_token}` }
  const verified = await fetch(`${server.url}/api/auth/verify`, { headers })
  expect([verified.status, await verified.json()]).toEqual([401, { valid: false }])

  const fresh = await firstToken(server)
  socket.auth = { token: `Bearer ${fresh.access_token}` }
  socket.connect()
  await until(() => socket.connected, { what: 'the connection with a new token' })
}, 60_000)

/** A client, and the user ada with access to all private channels. */
const people = async () => `
[[clients]]
id = "app"
secret_hash = "${await Bun.password.hash('app-secret', { algorithm: 'argon2id', memoryCost: 1024, timeCost: 1 })}"
permissions = ["private:*"]

[[users]]
id = "u1"
username = "ada"
password_hash = "${await Bun.password.hash('ada-password', { algorithm: 'argon2id', memoryCost: 1024, timeCost: 1 })}"
permissions = ["private:*"]
`

const app = { client_id: 'app', client_secret: 'app-secret' }
const login = { ...app, grant_type: 'password', username: 'ada', password: 'ada-password' }
const refresh = (server: Spillway, refresh_token: string | undefined) =>
  askToken(server.url, { refresh_token }, { path: '/api/auth/refresh' })

test('refresh tokens rotate and survive a restart; a reuse ends the session and its socket', async () => {
  using folder = temporaryFolder()
  const path = join(folder.path, 'projects.toml')
  writeFileSync(path, await people())
  await using server = await startSpillway({ PROJECTS_FILE: path })
  using clients = createClients()
  const first = await askToken(server.url, login)
  const second = await refresh(server, first.body.refresh_token)
  expect(second.status).toBe(200)
  await server.stop()
  await server.start()
  const third = await refresh(server, second.body.refresh_token)
  expect(third.status).toBe(200)

  const socket = clients.connect(server.url, third.body.access_token)
  await until(() => socket.connected)
  expect(await send(socket, 'subscribe', { topic: 'user:u1' })).toMatchObject({ status: 'success' })
  const authError = next(socket, 'auth_error')
  const reused = await refresh(server, second.body.refresh_token)
  expect(reused).toMatchObject({ status: 400, body: { error: 'invalid_grant' } })
  expect(await authError).toMatchObject({ code: 'token_revoked' })
  // The whole family is revoked, its newest token as well.
  expect(await refresh(server, third.body.refresh_token)).toMatchObject({ status: 400 })

  for (const secret of [first, second, third].flatMap(({ body }) => [
    body.access_token,
    body.refresh_token,
  ])) {
    expect(secret).toBeString()
    expect(server.log()).not.toContain(secret!)
  }
}, 60_000)

test('removing a user from the projects file ends only the sockets of that user', async () => {
  using folder = temporaryFolder()
  const path = join(folder.path, 'projects.toml')
  const text = await people()
  writeFileSync(path, text)
  await using server = await startSpillway({ PROJECTS_FILE: path })
  using clients = createClients()
  const asApp = await askToken(server.url, { ...app, grant_type: 'client_credentials' })
  const asAda = await askToken(server.url, login)
  const [backend, ada] = [asApp, asAda].map(({ body }) =>
    clients.connect(server.url, body.access_token),
  )
  await until(() => backend?.connected && ada?.connected)
  const faults = collect(ada!, 'auth_error')
  writeFileSync(path, text.slice(0, text.indexOf('[[users]]')))
  await until(() => faults.length > 0 && !ada?.connected, { what: 'the end of the socket' })
  expect(faults).toMatchObject([{ code: 'token_revoked' }])
  expect(backend?.connected).toBe(true)
  expect((await askToken(server.url, login)).status).toBe(400)
}, 60_000)
