import { afterAll, beforeAll, expect, test } from 'bun:test'
import { logLines } from '../support/log-lines.ts'
import { type Spillway, startSpillway } from '../support/spillway.ts'
import { until } from '../support/until.ts'

// No honest sender beside these requests: each is one refusal, judged by its line in the log.

let server: Spillway
beforeAll(async () => {
  server = await startSpillway({
    CLICKHOUSE_URL: 'http://127.0.0.1:1',
    CORS_ORIGINS: 'https://app.example',
    RATE_TELEMETRY_PER_MINUTE: '1',
  })
}, 60_000)
afterAll(() => server?.[Symbol.asyncDispose]())

type Line = {
  id: string
  status: number
  path: string
  reason?: string
  client_request_id?: string
}

async function lineOf(id: string | null): Promise<Line> {
  const find = () => logLines<Line>(server).find((line) => line.id === id)
  return await until(find, { what: `a line of ${id}` })
}

type Sent = [path: string, init: RequestInit, status: number, reason: string]

const post = (body: string) => ({ method: 'POST', body })
const json = { 'content-type': 'application/json' }
const refusals: Sent[] = [
  ['/nothing', {}, 404, 'not_found'],
  ['/api/telemetry/events', { method: 'PUT' }, 405, 'method_not_allowed'],
  ['/batch', { method: 'DELETE' }, 405, 'method_not_allowed'],
  ['/batch', post('{'), 400, 'invalid_json'],
  ['/batch', post('{"batch":[]}'), 400, 'empty_batch'],
  ['/e', post('{"event":"e","distinct_id":"u"}'), 401, 'missing_token'],
  [
    '/batch',
    post('{"api_key":"phc_a","batch":[{"event":"","distinct_id":"u"}]}'),
    400,
    'missing_event_name',
  ],
  ['/api/events/track', post('{}'), 400, 'missing_field'],
  ['/users/report/events', post('{}'), 400, 'missing_header'],
  ['/array/phx_personal/config', {}, 401, 'invalid_token'],
  ['/api/auth/token', { ...post('{}'), headers: json }, 400, 'invalid_request'],
  ['/api/auth/verify', {}, 401, 'invalid_token'],
  ['/metrics', { headers: { 'X-Forwarded-For': '1.2.3.4' } }, 403, 'operators_only'],
  ['/socket.io/?EIO=4&transport=polling&sid=none', {}, 400, 'Session ID unknown'],
  ['/socket.io/?EIO=4&transport=fax', {}, 400, 'Transport unknown'],
  [
    '/socket.io/?EIO=4&transport=polling',
    { headers: { Origin: 'https://evil.example' } },
    403,
    'origin',
  ],
]

test.each(refusals)('the refusal of %s %j has a line', async (path, init, status, reason) => {
  const response = await fetch(server.url + path, init)
  expect(response.status).toBe(status)
  expect(await lineOf(response.headers.get('x-request-id'))).toMatchObject({ status, reason })
})

test('a refusal by rate has a line', async () => {
  const event = {
    ...{ id: 'e', type: 'page', name: '/', ts: 1, app: 'a', release: '1', sessionId: 's' },
  }
  const send = () => fetch(`${server.url}/api/telemetry/events`, post(JSON.stringify([event])))
  const replies = [await send(), await send(), await send()]
  const limited = replies.find(({ status }) => status === 429)
  expect(await lineOf(limited?.headers.get('x-request-id') ?? null)).toMatchObject({
    reason: 'rate_limited',
  })
})

const paths = ['/', '/_liveness', '/metrics', '/api/health', '/flags', '/array/phc_a/config.js']
test.each([
  ...paths,
  '/api/sdk/config',
  '/.well-known/jwks.json',
  '/socket.io/?EIO=4&transport=polling',
])(
  'every reply of %s has an id of its own, also to a page, and names Origin in Vary',
  async (path) => {
    const ids = new Set<string | null>()
    for (const headers of [
      {},
      { Origin: 'https://app.example' },
      { Origin: 'https://evil.example' },
    ])
      for (const method of ['GET', 'OPTIONS', 'PATCH']) {
        const reply = await fetch(server.url + path, { method, headers })
        ids.add(reply.headers.get('x-request-id'))
        expect([method, headers, reply.headers.get('vary')]).toEqual([
          method,
          headers,
          expect.stringMatching(/^Origin$|^$/),
        ])
      }
    expect(ids.has(null)).toBe(false)
    expect(ids.size).toBe(9)
  },
)

test('a page may read the id', async () => {
  const headers = { Origin: 'https://app.example' }
  const reply = await fetch(`${server.url}/nothing`, { headers })
  expect(reply.headers.get('access-control-expose-headers')).toContain('X-Request-Id')
})

test.each([
  ['/batch', 'true'],
  ['/s/', 'true'],
  ['/flags', 'true'],
  ['/array/phc_a/config.js', 'true'],
  ['/api/telemetry/events', 'true'],
  ['/api/events/track', 'true'],
  ['/api/auth/token', null],
  ['/api/sdk/config', null],
  ['/users/report/events', null],
  ['/_readiness', null],
])('credentials of pages for %s: %p', async (path, expected) => {
  const headers = { Origin: 'https://app.example', 'access-control-request-method': 'POST' }
  const preflight = await fetch(server.url + path, { method: 'OPTIONS', headers })
  const reply = await fetch(server.url + path, { ...post('{}'), headers })
  for (const { headers } of [preflight, reply]) {
    expect(headers.get('access-control-allow-origin')).toBe('https://app.example')
    expect(headers.get('access-control-allow-credentials')).toBe(expected)
  }
})

test('an id of the client is logged beside, and not taken', async () => {
  const sent = { headers: { 'X-Request-Id': 'trace-42' } }
  const id = (await fetch(`${server.url}/nothing`, sent)).headers.get('x-request-id')
  expect(id).not.toBe('trace-42')
  expect(await lineOf(id)).toMatchObject({ client_request_id: 'trace-42' })
  const forged = { headers: { 'X-Request-Id': 'a","status":200,"x":"' } }
  const other = (await fetch(`${server.url}/nothing`, forged)).headers.get('x-request-id')
  expect(await lineOf(other)).not.toHaveProperty('client_request_id')
})

test('a path of 10,000 characters does not fill the log', async () => {
  const { headers } = await fetch(`${server.url}/${'x'.repeat(10_000)}`)
  expect((await lineOf(headers.get('x-request-id'))).path.length).toBeLessThan(1000)
})
