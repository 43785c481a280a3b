import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type Spillway, startSpillway } from '../../support/spillway.ts'
import { atLeast, post } from './support.ts'

/** Invalid bytes. The server must reply to them and keep serving. */

const headers = {
  'x-api-key': 'key',
  'x-user-id': 'u1',
  'x-app-id': 'app',
  'x-platform': 'iOS',
  'x-version': '1',
}
const event = { id: 'i', type: 'page', name: 'n', ts: 1, app: 'a', release: '1', sessionId: 's' }

const paths = [
  '/api/events/track',
  '/users/report/events',
  '/v2/users/report/events',
  '/api/telemetry/events',
]

const deep = (levels: number) => `${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`
const bodies: [string, string | Uint8Array][] = [
  ['nothing', ''],
  ['a NUL', '\0'],
  ['bytes that are no UTF-8', new Uint8Array([0x7b, 0xff, 0xfe, 0x7d])],
  ['half a document', '{"event_type":"x","events":[{"name":'],
  ['null', 'null'],
  ['a number', '1e999'],
  ['nesting beyond 200', deep(201)],
  ['nesting without end', deep(50_000)],
  ['an array of a million', `[${'0,'.repeat(1_000_000)}0]`],
  ['__proto__', '{"__proto__":{"event_type":"x","events":[]},"events":{"__proto__":[]}}'],
  ['constructor', '{"constructor":{"prototype":{"admin":true}}}'],
  ['a truncated gzip', new Uint8Array([31, 139, 8, 0, 0, 0, 0, 0, 0, 3, 75])],
  ['a form without data', 'a=1&b=2'],
]

let server: Spillway
beforeAll(async () => {
  server = await startSpillway({ RATE_TELEMETRY_PER_MINUTE: '0', RATE_LINK_PER_MINUTE: '0' })
}, 60_000)
afterAll(() => server?.[Symbol.asyncDispose]())

describe.each(paths)('%s', (path) => {
  test.each(bodies)('refuses %s', async (_, body) => {
    for (const type of ['application/json', 'text/plain', 'application/x-www-form-urlencoded']) {
      const answer = await post(`${server.url}${path}`, body, { ...headers, 'content-type': type })
      expect([400, 413]).toContain(answer.status)
      expect(answer.body).toBeObject()
    }
  })

  test.each(['GET', 'PUT', 'DELETE'])('refuses the method %s', async (method) => {
    const { status } = await fetch(`${server.url}${path}`, { method })
    expect(status).toBe(405)
  })
})

/** Unusual texts, in the fields of every contract. */
const texts = [
  'NUL \0 inside',
  'a lone surrogate \ud800',
  `quotes ' " \` and \\ backslashes`,
  "'; DROP TABLE events; --",
  'line\nbreak\ttab\rreturn',
  '‮right to left, 🚀 beyond the plane, \u2028 separators',
  '{"json":"in text"}',
]

test.each(texts.map((text, index) => [JSON.stringify(text), text, index] as const))(
  'stores the text %s, in every contract',
  async (_, text, index) => {
    const expected = text.replace('\ud800', '\ufffd')
    const id = `hostile-${index}`
    const link = { event_type: text, event_id: id, city: text, event_attributes: { [text]: text } }
    const report = { events: [{ name: id, user: text, sessionId: text, extra: { [text]: text } }] }
    const telemetry = { ...event, id, name: `t-${id}`, sessionId: text, props: { [text]: text } }
    for (const [path, body] of [
      ['/api/events/track', link],
      ['/users/report/events', report],
      ['/api/telemetry/events', telemetry],
    ] as const) {
      const { status } = await post(`${server.url}${path}`, body, headers)
      expect([200, 201]).toContain(status)
    }
    const links = await rows(
      'event_type, city, event_attributes',
      `link_events WHERE event_id = '${id}'`,
    )
    expect(links).toMatchObject([{ event_type: expected, city: expected }])
    expect(JSON.parse(String(links[0]?.event_attributes))).toEqual({ [expected]: expected })
    for (const name of [id, `t-${id}`]) {
      const [row] = await rows('session_id, properties', `events WHERE event = '${name}'`)
      expect(row?.session_id).toBe(expected)
      expect(JSON.parse(String(row?.properties))).toMatchObject({ [expected]: expected })
    }
  },
)

const rows = (columns: string, from: string) => {
  const sql = `SELECT ${columns} FROM ${from}`
  return atLeast(1, () => server.query<Record<string, unknown>>(sql), sql)
}

test('a time that no column can hold does not affect other events', async () => {
  for (const ts of [-1e300, -1, 0, 8.64e15, 1e300, 1e21])
    await post(`${server.url}/api/telemetry/events`, { ...event, id: `ts${ts}`, name: 'time', ts })
  for (const event_time of ['0001-01-01T00:00:00Z', '9999-12-31T23:59:59Z', '1900-01-01T00:00:00Z'])
    await post(`${server.url}/api/events/track`, { event_type: 'time', event_time })
  const telemetry = await rows('timestamp', `events WHERE event = 'time'`)
  expect(telemetry.length).toBeGreaterThan(0)
  await atLeast(6, () => server.query(`SELECT 1 FROM events WHERE event = 'time'`), 'six times')
  await atLeast(2, () => server.query(`SELECT 1 FROM link_events WHERE event_type = 'time'`), 'two')
})
