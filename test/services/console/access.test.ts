import { afterAll, beforeAll, expect, test } from 'bun:test'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { generateKeySet } from '../../../src/platform/auth/keys.ts'
import { temporaryFolder } from '../../support/folder.ts'
import { freePort } from '../../support/port.ts'
import { type Spillway, startSpillway } from '../../support/spillway.ts'
import { askToken } from '../platform/support.ts'

const adminToken = 'a-token-of-the-operators'
const adminPort = freePort()
const folder = temporaryFolder()
let production: Spillway
let development: Spillway

beforeAll(async () => {
  const keysFile = join(folder.path, 'keys.json')
  writeFileSync(keysFile, await generateKeySet(), { mode: 0o600 })
  const projects = join(folder.path, 'projects.toml')
  const hash = await Bun.password.hash('secret', {
    algorithm: 'argon2id',
    memoryCost: 8,
    timeCost: 1,
  })
  const toClient = (id: string, permissions: string) =>
    `[[clients]]\nid = "${id}"\nsecret_hash = '${hash}'\npermissions = [${permissions}]\n`
  writeFileSync(projects, toClient('watcher', '"console"') + toClient('other', '"private:*"'))
  ;[production, development] = await Promise.all([
    startSpillway({
      NODE_ENV: 'production',
      AUTH_KEYS_FILE: keysFile,
      PROJECTS_FILE: projects,
      ADMIN_TOKEN: adminToken,
      ADMIN_PORT: String(adminPort),
      CLICKHOUSE_URL: 'http://127.0.0.1:1',
    }),
    startSpillway(),
  ])
}, 60_000)
afterAll(async () => {
  await production?.[Symbol.asyncDispose]()
  await development?.[Symbol.asyncDispose]()
  folder[Symbol.dispose]()
})

async function tokenOf(client: string): Promise<string> {
  const grant = { grant_type: 'client_credentials', client_id: client, client_secret: 'secret' }
  const { status, body } = await askToken(production.url, grant)
  expect(status).toBe(200)
  return body.access_token
}

const ask = (url: string, headers: Record<string, string> = {}, method = 'GET') =>
  fetch(`${url}/console/api/overview`, { headers, method })

const paths = ['overview', 'live', 'trace?id=x', 'settings', 'nothing-here', '']
const methods = ['GET', 'POST'] as const

test.each(paths)('in production a stranger learns nothing of %s', async (path) => {
  for (const method of methods) {
    const response = await fetch(`${production.url}/console/api/${path}`, { method })
    expect(response.status).toBe(401)
    expect(await response.json()).toMatchObject({ error: 'console_locked' })
    expect(response.headers.get('access-control-allow-origin')).toBeNull()
  }
})

test('in production ADMIN_TOKEN opens it, and so does the permission `console`', async () => {
  const statusOf = async (token: string) =>
    (await ask(production.url, { authorization: `Bearer ${token}` })).status
  expect(await statusOf(adminToken)).toBe(200)
  expect(await statusOf(`${adminToken}x`)).toBe(401)
  expect(await statusOf(await tokenOf('watcher'))).toBe(200)
  expect(await statusOf(await tokenOf('other'))).toBe(401)
  expect(await statusOf('')).toBe(401)
})

test('ADMIN_PORT is open, but not to pages of other origins', async () => {
  const url = `http://127.0.0.1:${adminPort}`
  expect((await ask(url)).status).toBe(200)
  expect((await ask(url, { origin: url })).status).toBe(200)
  expect((await ask(url, { origin: 'https://evil.example' })).status).toBe(401)
})

test('ADMIN_PORT under a public name needs the token: a page could have that name', async () => {
  const url = `http://127.0.0.1:${adminPort}`
  const rebound = { host: `evil.example:${adminPort}`, origin: `http://evil.example:${adminPort}` }
  expect((await ask(url, rebound)).status).toBe(401)
  expect((await ask(url, { host: 'admin' })).status).toBe(200)
  const authorization = `Bearer ${adminToken}`
  expect((await ask(url, { ...rebound, authorization })).status).toBe(200)
})

test('in development it is open to this machine, and to no page of another origin', async () => {
  const { url } = development
  expect((await ask(url)).status).toBe(200)
  expect((await ask(url, { origin: url })).status).toBe(200)
  const strangers: Record<string, string>[] = [
    { origin: 'https://evil.example' },
    { origin: 'null' },
    { host: 'evil.example', origin: 'http://evil.example' },
    { host: 'evil.example' },
    { 'x-forwarded-for': '198.51.100.7' },
  ]
  for (const headers of strangers) {
    const response = await ask(url, headers)
    expect([response.status, headers]).toEqual([401, headers])
    expect(response.headers.get('access-control-allow-origin')).toBeNull()
  }
})

test('a page of another origin gets nothing, even with the token', async () => {
  const headers = { authorization: `Bearer ${adminToken}`, origin: 'https://evil.example' }
  const response = await ask(production.url, headers)
  expect(response.status).toBe(401)
  const preflight = await fetch(`${production.url}/console/api/overview`, {
    method: 'OPTIONS',
    headers: { origin: 'https://evil.example', 'access-control-request-method': 'POST' },
  })
  expect(preflight.headers.get('access-control-allow-origin')).toBeNull()
})

test('no reply is kept by a browser, or read as another type', async () => {
  const response = await ask(development.url)
  expect(response.headers.get('cache-control')).toBe('no-store')
  expect(response.headers.get('x-content-type-options')).toBe('nosniff')
})
