import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { deflateSync, gzipSync } from 'node:zlib'
import { type Spillway, startSpillway } from '../../support/spillway.ts'
import { atLeast, post } from './support.ts'

/** Requests as browsers and proxies send them: beacons, compression, other origins. */

const origin = 'https://shop.example'
const reportHeaders = {
  'x-api-key': 'key',
  'x-user-id': 'u1',
  'x-app-id': 'app',
  'x-platform': 'iOS',
  'x-version': '1',
}
const routes = [
  { path: '/api/events/track', table: 'link_events', column: 'event_type', headers: {} },
  { path: '/api/telemetry/events', table: 'events', column: 'event', headers: {} },
  { path: '/users/report/events', table: 'events', column: 'event', headers: reportHeaders },
  { path: '/v2/users/report/events', table: 'events', column: 'event', headers: reportHeaders },
]
type Route = (typeof routes)[number]
const byPath = routes.map((route) => [route.path, route] as const)
const beaconing = byPath.slice(0, 2)

let server: Spillway
beforeAll(async () => {
  server = await startSpillway({ RATE_TELEMETRY_PER_MINUTE: '0' })
}, 60_000)
afterAll(() => server?.[Symbol.asyncDispose]())

let names = 0
const freshName = () => {
  names += 1
  return `n${names}`
}

function toBody({ path }: Route, name: string): string {
  if (path.endsWith('track')) return JSON.stringify({ event_type: name })
  if (path.endsWith('telemetry/events'))
    return JSON.stringify([
      { id: name, type: 'page', name, ts: 1, app: 'a', release: '1', sessionId: 's' },
    ])
  return JSON.stringify({ events: [{ name, user: 'ü', sessionId: 's' }] })
}

const isStoredOnce = async ({ table, column }: Route, name: string) => {
  const sql = `SELECT 1 FROM ${table} WHERE ${column} = '${name}'`
  expect(await atLeast(1, () => server.query(sql), sql)).toHaveLength(1)
}

const gzipped: [string, (body: string) => [Uint8Array, Record<string, string>]][] = [
  ['by header', (body) => [gzipSync(body), { 'content-encoding': 'gzip' }]],
  ['unmarked, by its first bytes', (body) => [gzipSync(body), { 'content-type': 'text/plain' }]],
  ['deflate, by header', (body) => [deflateSync(body), { 'content-encoding': 'deflate' }]],
]
describe.each(byPath)('%s compressed', (_, route) => {
  test.each(gzipped)('%s', async (_way, compress) => {
    const name = freshName()
    const [body, headers] = compress(toBody(route, name))
    const { status } = await post(`${server.url}${route.path}`, body, {
      ...route.headers,
      ...headers,
    })
    expect([200, 201]).toContain(status)
    await isStoredOnce(route, name)
  })

  test('refuses a decompression bomb and keeps serving', async () => {
    const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024, 0x20))
    const { status } = await post(`${server.url}${route.path}`, bomb, route.headers)
    expect(status).toBe(413)
    const name = freshName()
    await post(`${server.url}${route.path}`, toBody(route, name), route.headers)
    await isStoredOnce(route, name)
  })
})

const beacons: [string, (body: string) => [string, string]][] = [
  ['text/plain', (body) => [body, 'text/plain;charset=UTF-8']],
  [
    'a form, data=',
    (body) => [`data=${encodeURIComponent(body)}`, 'application/x-www-form-urlencoded'],
  ],
  [
    'a form, data= in base64',
    (body) => [
      `data=${encodeURIComponent(Buffer.from(body).toString('base64'))}`,
      'application/x-www-form-urlencoded',
    ],
  ],
]
describe.each(beaconing)('a beacon to %s', (_, route) => {
  test.each(beacons)('as %s', async (_way, dress) => {
    const name = freshName()
    const [body, type] = dress(toBody(route, name))
    const answer = await post(`${server.url}${route.path}`, body, { 'content-type': type, origin })
    expect([200, 201]).toContain(answer.status)
    expect(answer.headers.get('access-control-allow-origin')).toBe(origin)
    await isStoredOnce(route, name)
  })
})

describe.each(byPath)('a page of another origin at %s', (_, route) => {
  test('gets a preflight reply that allows its request', async () => {
    const asked = 'content-type,x-api-key,idempotency-key'
    const response = await fetch(`${server.url}${route.path}`, {
      method: 'OPTIONS',
      headers: {
        origin,
        'access-control-request-method': 'POST',
        'access-control-request-headers': asked,
      },
    })
    expect([200, 204]).toContain(response.status)
    expect(corsOf(response.headers)).toMatchObject({
      origin,
      credentials: credentialsOf(route),
      vary: expect.stringContaining('Origin'),
    })
    expect(response.headers.get('access-control-allow-headers')).toBe(asked)
    expect(response.headers.get('access-control-allow-methods')).toContain('POST')
  })

  test.each([
    ['accepted', true],
    ['refused', false],
  ])('can read the reply to a request that was %s', async (_case, isSound) => {
    const body = isSound ? toBody(route, freshName()) : 'no json'
    const answer = await post(`${server.url}${route.path}`, body, { ...route.headers, origin })
    expect(answer.status < 300).toBe(isSound)
    expect(corsOf(answer.headers)).toMatchObject({ origin, credentials: credentialsOf(route) })
    expect(answer.headers.get('access-control-expose-headers')).toContain('Retry-After')
  })
})

/** Only routes that browsers send beacons to allow credentials. Mobile clients send reports. */
const credentialsOf = ({ path }: { path: string }) => (path.includes('/users/') ? null : 'true')

const corsOf = (headers: Headers) => ({
  origin: headers.get('access-control-allow-origin'),
  credentials: headers.get('access-control-allow-credentials'),
  vary: headers.get('vary'),
})
