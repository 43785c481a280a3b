import { afterAll, beforeAll, expect, test } from 'bun:test'
import { type Pipeline, post, startPipeline } from './support.ts'

type Row = { uuid: string }

const reportHeaders = {
  'x-api-key': 'key',
  'x-user-id': 'u1',
  'x-app-id': 'app',
  'x-platform': 'iOS',
  'x-version': '1',
}
const telemetry = (id: string) => ({
  ...{ id, type: 'custom', name: 'copied', ts: Date.now(), app: 'app' },
  ...{ release: '1', sessionId: 's' },
})

/** A way to send the same event again: path, body and headers, and the table that stores it. */
const identities = [
  {
    name: 'link, by event_id',
    path: '/api/events/track',
    body: { event_type: 'copied', event_id: 'one', project_id: 'p' },
    headers: {},
    sql: `SELECT uuid FROM link_events WHERE event_id = 'one'`,
    rows: 1,
    topic: 'link_events',
    reply: { event_id: 'one' },
  },
  {
    name: 'telemetry, by id',
    path: '/api/telemetry/events',
    body: [telemetry('one')],
    headers: {},
    sql: `SELECT uuid FROM events WHERE event = 'copied'`,
    rows: 1,
    topic: 'events',
    reply: { received: 1, processed: 1 },
  },
  {
    name: 'report, by Idempotency-Key',
    path: '/users/report/events',
    body: { events: ['a', 'b'].map((name) => ({ name, user: 'u', sessionId: 's' })) },
    headers: { ...reportHeaders, 'idempotency-key': 'one' },
    sql: `SELECT uuid FROM events WHERE source = 'report' AND event IN ('a', 'b')`,
    rows: 2,
    topic: 'events',
    reply: { status: 'success' },
  },
] as const

let server: Pipeline
beforeAll(async () => {
  server = await startPipeline({ RATE_TELEMETRY_PER_MINUTE: '0' })
}, 120_000)
afterAll(() => server?.[Symbol.asyncDispose]())

const send = ({ path, body, headers }: (typeof identities)[number]) =>
  post(`${server.url}${path}`, body, headers)

test('the same event sent 100 times at once, and again after restarts, is stored once', async () => {
  for (const identity of identities) {
    const answers = await Promise.all(Array.from({ length: 100 }, () => send(identity)))
    expect(new Set(answers.map(({ status }) => Math.floor(status / 100)))).toEqual(new Set([2]))
    // A duplicate gets the same reply as the first event.
    for (const { body } of answers) expect(body).toMatchObject(identity.reply)
  }
  for (const { sql, rows } of identities) expect(await server.rows(sql, rows)).toHaveLength(rows)

  await server.stop()
  await server.start()
  for (const identity of identities)
    expect((await send(identity)).body).toMatchObject(identity.reply)
  await server.kill()
  await server.start()
  for (const identity of identities)
    expect((await send(identity)).body).toMatchObject(identity.reply)

  // Rows are stored in order: a duplicate row would be there before this later event.
  await post(`${server.url}/api/events/track`, { event_type: 'last', event_id: 'last' })
  await post(`${server.url}/api/telemetry/events`, { ...telemetry('last'), name: 'last' })
  await server.rows(`SELECT 1 FROM link_events WHERE event_id = 'last'`, 1)
  await server.rows(`SELECT 1 FROM events WHERE event = 'last'`, 1)
  for (const { sql, rows } of identities) {
    const stored = await server.query<Row>(sql)
    expect(stored).toHaveLength(rows)
    expect(new Set(stored.map(({ uuid }) => uuid)).size).toBe(rows)
  }
  // Kafka has it at least once, always with the same uuid.
  for (const topic of ['link_events', 'events'] as const) {
    const ours = identities.filter((identity) => identity.topic === topic)
    const count = ours.reduce((sum, { rows }) => sum + rows, 1)
    const records = await server.records(topic, count)
    expect(new Set(records.map(({ headers }) => headers.uuid)).size).toBe(count)
  }
}, 120_000)

test.each([
  [
    'another project',
    '/api/events/track',
    { event_type: 'apart', event_id: 'same', project_id: 'p1' },
    { event_type: 'apart', event_id: 'same', project_id: 'p2' },
    {},
    {},
  ],
  [
    'another app',
    '/api/telemetry/events',
    { ...telemetry('same'), app: 'a1', name: 'apart' },
    { ...telemetry('same'), app: 'a2', name: 'apart' },
    {},
    {},
  ],
  [
    'another key',
    '/v2/users/report/events',
    { events: [{ name: 'apart', user: 'u', sessionId: 's' }] },
    { events: [{ name: 'apart', user: 'u', sessionId: 's' }] },
    { ...reportHeaders, 'idempotency-key': 'k1' },
    { ...reportHeaders, 'idempotency-key': 'k2' },
  ],
  [
    'no key at all',
    '/users/report/events',
    { events: [{ name: 'apart', user: 'anonymous', sessionId: 's' }] },
    { events: [{ name: 'apart', user: 'anonymous', sessionId: 's' }] },
    reportHeaders,
    reportHeaders,
  ],
])('the same id under %s is another event', async (_, path, one, two, oneHeaders, twoHeaders) => {
  const [table, column] = path.endsWith('track')
    ? ['link_events', 'event_type']
    : ['events', 'event']
  const sql = `SELECT uuid FROM ${table} WHERE ${column} = 'apart'`
  const before = (await server.query(sql)).length
  await post(`${server.url}${path}`, one, oneHeaders)
  await post(`${server.url}${path}`, two, twoHeaders)
  expect(await server.rows(sql, before + 2)).toHaveLength(before + 2)
})
