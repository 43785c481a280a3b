import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { chmodSync, mkdirSync, statSync, writeFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { generateKeySet } from '../../src/platform/auth/keys.ts'
import { run } from '../services/platform/support.ts'
import { temporaryFolder } from '../support/folder.ts'
import { logLines } from '../support/log-lines.ts'
import { freePort } from '../support/port.ts'
import { rawHttp } from '../support/raw-http.ts'
import { type Spillway, startSpillway } from '../support/spillway.ts'

// No honest sender beside these requests: each is one refusal, judged by its reply.

const token = 'a-token-of-the-operators'
const adminPort = freePort()
/** An address of this machine that is not loopback, as another machine sees it. */
const outside = Object.values(networkInterfaces())
  .flat()
  .find((one) => one?.family === 'IPv4' && !one.internal)?.address
const folder = temporaryFolder()
let server: Spillway

beforeAll(async () => {
  const keysFile = join(folder.path, 'keys.json')
  writeFileSync(keysFile, await generateKeySet(), { mode: 0o644 })
  chmodSync(keysFile, 0o644)
  server = await startSpillway({
    NODE_ENV: 'production',
    HOST: '0.0.0.0',
    AUTH_KEYS_FILE: keysFile,
    ADMIN_TOKEN: token,
    ADMIN_PORT: String(adminPort),
    CLICKHOUSE_URL: 'http://127.0.0.1:1',
  })
}, 60_000)
afterAll(async () => {
  await server?.[Symbol.asyncDispose]()
  folder[Symbol.dispose]()
})

const bearer = { authorization: `Bearer ${token}` }
const strangers: [string, Record<string, string>][] = [
  ['X-Forwarded-For of a proxy on this machine', { 'X-Forwarded-For': '198.51.100.7' }],
  ['Forwarded', { Forwarded: 'for=198.51.100.7' }],
  ['the Origin of a page', { Origin: 'https://evil.example' }],
  ['the Host of a page after DNS rebinding', { Host: 'evil.example' }],
  ['a wrong token', { 'X-Forwarded-For': '198.51.100.7', authorization: `Bearer ${token}x` }],
]

test.each(strangers)('metrics and details are closed to a request with %s', async (_, headers) => {
  const metrics = await fetch(`${server.url}/metrics`, { headers })
  expect([metrics.status, metrics.headers.get('access-control-allow-origin')]).toEqual([403, null])
  expect(await metrics.json()).toMatchObject({ error: 'operators_only' })
  for (const path of ['/', '/_readiness', '/health'])
    expect(await (await fetch(server.url + path, { headers })).json()).toEqual({ status: 'ok' })
})

test.skipIf(!outside)('metrics and details are closed to other machines', async () => {
  const url = server.url.replace('127.0.0.1', outside!)
  expect((await fetch(`${url}/metrics`)).status).toBe(403)
  expect(await (await fetch(`${url}/_readiness`)).json()).toEqual({ status: 'ok' })
  expect((await fetch(`${url}/metrics`, { headers: bearer })).status).toBe(200)
})

test('operators read them from this machine, with the token, and on ADMIN_PORT', async () => {
  const proxied = { ...bearer, 'X-Forwarded-For': '198.51.100.7' }
  const admin = `http://127.0.0.1:${adminPort}`
  const forwarded = { 'X-Forwarded-For': '198.51.100.7' }
  for (const [url, headers] of [
    [server.url, {}],
    [server.url, proxied],
    [admin, forwarded],
  ] as const) {
    const metrics = await fetch(`${url}/metrics`, { headers })
    expect([metrics.status, metrics.headers.get('content-type')]).toEqual([
      200,
      expect.stringContaining('text/plain'),
    ])
    await metrics.text()
    const health = await fetch(`${url}/_readiness`, { headers })
    expect(await health.json()).toMatchObject({ phase: 'ready', journal: { full: false } })
  }
  expect((await fetch(`${admin}/batch/`, { method: 'POST', body: '{}' })).status).toBe(404)
})

test('a proxy of TRUSTED_PROXIES on this machine is no operator', async () => {
  await using behind = await startSpillway({
    CLICKHOUSE_URL: 'http://127.0.0.1:1',
    TRUSTED_PROXIES: '127.0.0.1',
  })
  expect((await fetch(`${behind.url}/metrics`)).status).toBe(403)
}, 60_000)

test('data are for this user only, and readable secrets are told', () => {
  expect(statSync(server.dataDir).mode & 0o777).toBe(0o700)
  expect(statSync(join(server.dataDir, 'journal')).mode & 0o077).toBe(0)
  const told = logLines(server).find(({ msg }) => msg.includes('chmod 600'))
  expect(told).toMatchObject({ level: 'warn', setting: 'AUTH_KEYS_FILE' })
})

test('production builds no addresses from a Host header', async () => {
  const response = await fetch(`${server.url}/api/sdk/config`, {
    headers: { Host: 'evil.example' },
  })
  expect(response.status).toBe(503)
  expect(await response.text()).not.toContain('evil.example')
})

test('an existing data folder is made private', async () => {
  using place = temporaryFolder()
  const dataDir = join(place.path, 'open')
  mkdirSync(dataDir)
  chmodSync(dataDir, 0o755)
  await using other = await startSpillway({
    DATA_DIR: dataDir,
    CLICKHOUSE_URL: 'http://127.0.0.1:1',
  })
  expect(other.url).toBeString()
  expect(statSync(dataDir).mode & 0o777).toBe(0o700)
}, 60_000)

test.each(['prod', 'Production', 'staging'])('NODE_ENV=%s is refused', async (value) => {
  using place = temporaryFolder()
  const environment = { NODE_ENV: value, DATA_DIR: join(place.path, 'data'), PORT: '0' }
  const { exitCode, errors } = await run(['src/main.ts'], { environment })
  expect([exitCode, errors]).toEqual([
    78,
    `NODE_ENV "${value}" is not one of development, test, production\n`,
  ])
})

test('make-key --out writes a file for its owner, and replaces none', async () => {
  using place = temporaryFolder()
  const path = join(place.path, 'keys.json')
  expect((await run(['run', '--silent', 'make-key', '--out', path])).exitCode).toBe(0)
  expect(statSync(path).mode & 0o777).toBe(0o600)
  const again = await run(['run', '--silent', 'make-key', '--out', path])
  expect([again.exitCode, again.errors]).toEqual([1, expect.stringContaining('EEXIST')])
})

describe('requests without a sound URL get 400', () => {
  const heads = [
    'GET /a/../metrics HTTP/1.1\r\nHost: localhost',
    'GET /a/./e HTTP/1.1\r\nHost: localhost',
    'GET /%2e%2e/metrics HTTP/1.1\r\nHost: localhost',
    'GET /a/%2E./metrics HTTP/1.1\r\nHost: localhost',
    'GET /a/..%2fmetrics HTTP/1.1\r\nHost: localhost',
    'GET /_liveness HTTP/1.1\r\nHost: a b',
    'GET /_liveness HTTP/1.1\r\nHost: evil.example/path?x=',
    'GET /_liveness HTTP/1.1\r\nHost: user@evil.example',
    'GET /_liveness HTTP/1.1\r\nHost: evil.example:99999999',
    'GET /_liveness HTTP/1.1\r\nHost: "><script>',
    'GET /_liveness HTTP/1.1',
  ]
  test.each(heads)('%j', async (head) => {
    const connection = await rawHttp(server.url)
    connection.send(`${head}\r\n\r\n`)
    expect(await connection.status()).toBe(400)
    connection.destroy()
  })

  test.each([
    '/array/a.b/config.js',
    '/.well-known/jwks.json',
    '/array/..a/config',
    '/flags?x=/../',
  ])('but %s is sound', async (path) => {
    const connection = await rawHttp(server.url)
    connection.send(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`)
    expect(await connection.status()).not.toBe(400)
    connection.destroy()
  })
})
