import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { createContracts } from '../../../src/contracts/registry.ts'
import { IngestError } from '../../../src/core/errors.ts'
import { type Spillway, startSpillway } from '../../support/spillway.ts'

/** Rules for every route of every contract: origins, methods, trailing slashes, errors. */
let open: Spillway
let production: Spillway
const projects = join(import.meta.dir, '../../fixtures/projects.toml')
const keys = join(import.meta.dir, '../../../src/cli/make-key.ts')
beforeAll(async () => {
  open = await startSpillway({
    ACCESS_LOG: 'false',
    PROJECTS_FILE: projects,
    POSTHOG_JS_DIR: join(import.meta.dir, '../../../node_modules/posthog-js/dist'),
  })
  const made = Bun.spawnSync([process.execPath, keys])
  const keysFile = join(open.dataDir, 'production-keys.json')
  await Bun.write(keysFile, made.stdout)
  production = await startSpillway({
    ACCESS_LOG: 'false',
    NODE_ENV: 'production',
    AUTH_KEYS_FILE: keysFile,
  })
}, 90_000)
afterAll(async () => {
  await open[Symbol.asyncDispose]()
  await production[Symbol.asyncDispose]()
})

const origin = 'https://page.example'
const event = JSON.stringify({ api_key: 'phc_blog', event: 'e', distinct_id: 'd' })

type Row = [method: string, path: string, status: number, body?: string]
const rows: Row[] = [
  ...['/e', '/engage', '/track', '/i/v0/e', '/capture', '/batch'].flatMap((path): Row[] => [
    ['POST', path, 200, event],
    ['POST', `${path}/`, 200, event],
    ['POST', `${path}/`, 400, 'no JSON'],
    ['GET', `${path}/?data=${Buffer.from(event).toString('base64url')}`, 200],
    ['GET', path, 400],
    ['PUT', path, 405, event],
  ]),
  ...['/s', '/s/', '/capture/recording', '/capture/recording/'].flatMap((path): Row[] => [
    ['POST', path, 400, event],
    ['GET', path, 400],
  ]),
  ['POST', '/batch', 401, '{"event":"e","distinct_id":"d"}'],
  ['POST', '/batch', 401, '{"api_key":"nobody","event":"e","distinct_id":"d"}'],
  ['POST', '/api/events/track', 201, '{"event_type":"click","project_id":"blog"}'],
  ['POST', '/api/events/track/', 400, '{}'],
  ['GET', '/api/events/track', 405],
  ['POST', '/users/report/events', 400, '{}'],
  ['POST', '/v2/users/report/events/', 400, '{}'],
  ['DELETE', '/users/report/events', 405],
  ['POST', '/api/telemetry/events', 400, '[]'],
  ['POST', '/api/telemetry/events/', 400, '[]'],
  ['POST', '/api/auth/token', 400, '{}'],
  ['GET', '/api/auth/token', 405],
  ['POST', '/api/auth/refresh', 400, '{}'],
  ['GET', '/api/auth/verify', 401],
  ['GET', '/api/sdk/config', 200],
  ['GET', '/api/health', 200],
  ...['/', '/_readiness', '/_readiness/', '/_liveness', '/_liveness/', '/health', '/health/'].map(
    (path): Row => ['GET', path, 200],
  ),
  ['GET', '/array/phc_t/config.js', 200],
  ['GET', '/array/phc_t/config', 200],
  ['GET', '/array/my.token/config.js', 200],
  ['GET', `/array/${"phc');alert('"}/config.js`, 200],
  ['GET', '/array/phx_secret/config.js', 401],
  ['POST', '/flags/?v=2', 200, '{}'],
  ['POST', '/decide', 200, '{}'],
  ['GET', '/nothing/here', 404],
  ['POST', '/', 405, '{}'],
]

const cases = rows.map((row) => ({ name: `${row[0]} ${row[1]} (${row[2]})`, row }))

function call({ url }: Spillway, [method, path, , body]: Row, headers = {}): Promise<Response> {
  return fetch(url + path, { method, headers, redirect: 'manual', ...(body ? { body } : {}) })
}

/** Browsers send beacons to the other routes, with credentials. */
const toCredentials = (path: string) =>
  /^\/(?:api\/(?:auth|sdk|health)|users|v2|_readiness|_liveness|health)/.test(path) ? null : 'true'

describe('every reply', () => {
  test.each(cases)('$name: allows any origin', async ({ row }) => {
    const reply = await call(open, row, { origin })
    const [method, path, status] = row
    expect({ method, path, status: reply.status }).toEqual({ method, path, status })
    expect(reply.headers.get('access-control-allow-origin')).toBe(origin)
    expect(reply.headers.get('access-control-allow-credentials')).toBe(toCredentials(path))
    expect(reply.headers.get('access-control-expose-headers')).toContain('Retry-After')
    expect(reply.headers.get('vary')).toContain('Origin')
    if (status >= 400) expect(await reply.json()).toBeObject()
    if (status === 405) expect(reply.headers.get('allow')).toContain('OPTIONS')
  })

  test.each(cases)('$name: has the same status without an origin', async ({ row }) => {
    const reply = await call(open, row)
    expect(reply.status).toBe(row[2])
    expect(reply.headers.get('access-control-allow-origin')).toBeNull()
  })

  test.each([...new Set(rows.map(([, path]) => path))])('%s answers a preflight', async (path) => {
    const wanted = 'content-type, x-made-up'
    const reply = await call(open, ['OPTIONS', path, 204], {
      origin,
      'access-control-request-method': 'POST',
      'access-control-request-headers': wanted,
    })
    expect(reply.status).toBe(204)
    expect(reply.headers.get('access-control-allow-origin')).toBe(origin)
    expect(reply.headers.get('access-control-allow-headers')).toBe(wanted)
    expect(reply.headers.get('access-control-allow-methods')).toContain('POST')
    expect(reply.headers.get('access-control-allow-credentials')).toBe(toCredentials(path))
  })
})

test.each<[string, string]>([
  ['/metrics', 'GET, OPTIONS'],
  ['/static/array.js', 'GET, OPTIONS'],
  ['/static/none/of/these', 'GET, OPTIONS'],
  ['/array/phc_t/config', 'GET, OPTIONS'],
  ['/array/phc_t/config.js', 'GET, OPTIONS'],
  ['/flags/', 'GET, POST, OPTIONS'],
  ['/.well-known/jwks.json', 'GET, OPTIONS'],
  ['/console', 'GET, OPTIONS'],
  ['/console/page.js', 'GET, OPTIONS'],
  ['/console/api/overview', 'GET, POST, OPTIONS'],
  ['/console/api/none', 'GET, POST, OPTIONS'],
])('%s does not take other methods, and names those that it takes', async (path, allowed) => {
  for (const method of ['PUT', 'DELETE', 'PATCH']) {
    for (const headers of [{}, { origin }]) {
      const reply = await call(open, [method, path, 405], headers)
      expect({ method, status: reply.status }).toEqual({ method, status: 405 })
      expect(reply.headers.get('allow')).toBe(allowed)
      expect(await reply.json()).toMatchObject({ error: 'method_not_allowed' })
    }
  }
})

test.each([
  ['POST', 'overview', 'GET, OPTIONS'],
  ['GET', 'query', 'POST, OPTIONS'],
])('%s of the console data %s names the methods, too', async (method, path, allowed) => {
  const reply = await call(open, [method, `/console/api/${path}`, 405])
  expect([reply.status, reply.headers.get('allow')]).toEqual([405, allowed])
})

test.each(['/console', '/console/page.js', '/console/page.css'])(
  '%s says that it differs by encoding and origin',
  async (path) => {
    for (const encoding of ['gzip', 'identity', 'gzip;q=0']) {
      const reply = await call(open, ['GET', path, 200], { 'accept-encoding': encoding })
      expect(reply.headers.get('content-encoding')).toBe(encoding === 'gzip' ? 'gzip' : null)
      expect(reply.headers.get('vary')).toBe('Accept-Encoding, Origin')
    }
    const fromPage = await call(open, ['GET', path, 200], { origin })
    expect(fromPage.headers.get('vary')).toContain('Accept-Encoding')
  },
)

describe('in production without CORS_ORIGINS', () => {
  test.each([
    ['POST', '/api/auth/token', '{}'],
    ['GET', '/api/sdk/config', ''],
    ['GET', '/socket.io/?EIO=4&transport=polling', ''],
  ])('%s %s allows no other origin', async (method, path, body) => {
    for (const row of [['OPTIONS', path, 204] as Row, [method, path, 200, body] as Row]) {
      const reply = await call(production, row, { origin })
      expect(reply.headers.get('access-control-allow-origin')).not.toBe(origin)
    }
  })

  test('events are accepted from any origin', async () => {
    const reply = await call(production, ['POST', '/batch', 200, event], { origin })
    expect(reply.headers.get('access-control-allow-origin')).toBe(origin)
  })
})

test.each([
  ['https://shop.example', 200],
  ['https://foe.example', 403],
])('checks the origins of a project: %s', async (from, status) => {
  const body = JSON.stringify({ api_key: 'phc_shop_web', event: 'e', distinct_id: 'd' })
  const reply = await call(open, ['POST', '/batch', status, body], { origin: from })
  expect(reply.status).toBe(status)
  expect(reply.headers.get('access-control-allow-origin')).toBe(from)
})

const reportHeaders = {
  'x-api-key': 'sk_blog',
  'x-user-id': 'u',
  'x-app-id': 'a',
  'x-platform': 'ios',
  'x-version': '1',
}
test.each<[string, object]>([
  ['/batch', { code: 0, status: 'error', error: 'body_too_large' }],
  ['/api/events/track', { error: expect.stringContaining('exceeds') }],
  ['/users/report/events', { status: 'error', code: 'BODY_TOO_LARGE' }],
  ['/v2/users/report/events', { errors: [expect.objectContaining({ code: 'BODY_TOO_LARGE' })] }],
  ['/api/telemetry/events', { success: false, details: { code: 'body_too_large' } }],
])('%s refuses a body of 21 MB in the words of its contract', async (path, words) => {
  const reply = await fetch(open.url + path, {
    method: 'POST',
    headers: reportHeaders,
    body: Buffer.alloc(21 * 1024 * 1024, ' '),
  })
  expect(reply.status).toBe(413)
  expect(await reply.json()).toMatchObject(words)
})

const contracts = createContracts({ reportEventsMax: 1000, telemetryEventsMax: 1000 })
const busy = new IngestError('too_busy', 'full', { retryAfterSeconds: 1.2 })
test.each<[keyof typeof contracts, string, object]>([
  ['capture', '/e', { code: 0, status: 'error', error: 'too_busy', detail: 'full' }],
  ['recording', '/s', { code: 0, status: 'error', error: 'too_busy', detail: 'full' }],
  ['link', '/api/events/track', { error: 'Failed to track event', details: 'full' }],
  ['report', '/users/report/events', { status: 'error', code: 'TOO_BUSY', message: 'full' }],
  ['telemetry', '/api/telemetry/events', { success: false, error: 'full' }],
])('refuses a request at full memory in the words of %s, with Retry-After', (name, path, words) => {
  const { refuse } = contracts[name]
  const { status, body, headers } = refuse(busy, {
    path,
    query: new URLSearchParams(),
    headers: new Headers(),
  })
  expect({ status, headers }).toEqual({ status: 503, headers: { 'retry-after': '2' } })
  expect(JSON.parse(body ?? '')).toMatchObject(words)
})
