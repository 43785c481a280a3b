import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from '../../support/folder.ts'
import { scrape } from '../../support/metrics.ts'
import { atLeast, type Pipeline, post, startPipeline } from './support.ts'

/**
 * Events that are stored otherwise than they were sent, and events of refused requests, through the
 * real server into the embedded ClickHouse and Kafka.
 */
setDefaultTimeout(60_000)

const projects = `
[[projects]]
id = "shop"
tokens = ["phc_shop"]
api_keys = ["sk_shop"]
apps = ["shop-app"]

[[projects]]
id = "small"
api_keys = ["sk_small"]
quotas.report = { max = 2, period = "day" }
`

let folder: ReturnType<typeof temporaryFolder>
let server: Pipeline
beforeAll(async () => {
  folder = temporaryFolder()
  const path = join(folder.path, 'projects.toml')
  writeFileSync(path, projects)
  server = await startPipeline({ PROJECTS_FILE: path })
}, 120_000)
afterAll(async () => {
  await server?.[Symbol.asyncDispose]()
  folder[Symbol.dispose]()
})

const long = `${'a'.repeat(150)}${'z'.repeat(150)}`
const shortened = `${'a'.repeat(100)}…${'z'.repeat(99)}`
const reportHeaders = {
  'X-API-KEY': 'sk_shop',
  'X-USER-ID': 'u1',
  'X-APP-ID': 'a',
  'X-PLATFORM': 'ios',
  'X-VERSION': '1',
}
const telemetry = { type: 'page', name: '/', app: 'shop-app', release: '1', sessionId: 's' }

/** The altered events of the project until now, by kind. */
async function readAltered(): Promise<(kind: string) => number> {
  const read = await scrape(server.url)
  return (kind) => read('spillway_events_altered_total', { kind, project: 'shop' })
}

type Case = {
  contract: string
  path: string
  headers?: Record<string, string>
  body: object
  status: number
  query: string
  topic: 'events' | 'link_events' | 'recordings'
  isOwn(record: Record<string, unknown>): boolean
  warnings: { kind: string; field: string; value: string }[]
}

const capture = { token: 'phc_shop', event: 'altered', uuid: 'evt 1', timestamp: 'soon' }
const snapshot = { $session_id: 's-altered', $snapshot_data: [{ type: 3 }] }
const cases: Case[] = [
  {
    contract: 'capture',
    path: '/e',
    body: { ...capture, distinct_id: long, properties: { total: 5 } },
    status: 200,
    query: `SELECT JSONExtractRaw(properties, '$ingest_warnings') AS warnings FROM events WHERE event = 'altered'`,
    topic: 'events',
    isOwn: ({ event }) => event === 'altered',
    warnings: [
      { kind: 'time_unreadable', field: 'timestamp', value: 'soon' },
      { kind: 'text_cut', field: 'distinct_id', value: shortened },
      { kind: 'uuid_replaced', field: 'uuid', value: 'evt 1' },
    ],
  },
  {
    contract: 'recordings of capture',
    path: '/s',
    body: { token: 'phc_shop', distinct_id: 'u', timestamp: '2077-01-01', properties: snapshot },
    status: 200,
    query: `SELECT ingest_warnings AS warnings FROM recordings WHERE session_id = 's-altered'`,
    topic: 'recordings',
    isOwn: () => true,
    warnings: [{ kind: 'time_implausible', field: 'timestamp', value: '2077-01-01' }],
  },
  {
    contract: 'report',
    path: '/v2/users/report/events',
    headers: reportHeaders,
    body: {
      events: [{ name: 'reported', user: 'u', sessionId: 's', at: 5, extra: { $platform: 'x' } }],
    },
    status: 200,
    query: `SELECT JSONExtractRaw(properties, '$ingest_warnings') AS warnings FROM events WHERE event = 'reported'`,
    topic: 'events',
    isOwn: ({ event }) => event === 'reported',
    warnings: [
      { kind: 'property_replaced', field: '$platform', value: 'x' },
      { kind: 'field_dropped', field: 'at', value: '5' },
    ],
  },
  {
    contract: 'telemetry',
    path: '/api/telemetry/events',
    body: { ...telemetry, id: 'altered', ts: -5, tenant: 'x' },
    status: 200,
    query: `SELECT JSONExtractRaw(properties, '$ingest_warnings') AS warnings FROM events WHERE source = 'telemetry' AND JSONExtractString(properties, '$id') = 'altered'`,
    topic: 'events',
    isOwn: ({ properties }) => (properties as { $id?: string }).$id === 'altered',
    warnings: [
      { kind: 'time_implausible', field: 'ts', value: '-5' },
      { kind: 'field_dropped', field: 'tenant', value: 'x' },
    ],
  },
  {
    contract: 'link',
    path: '/api/events/track',
    body: {
      event_type: 'click',
      event_id: 'altered',
      project_id: 'shop',
      event_time: '1950-01-01',
      channel: 'x',
    },
    status: 201,
    query: `SELECT ingest_warnings AS warnings FROM link_events WHERE event_id = 'altered'`,
    topic: 'link_events',
    isOwn: ({ event_id }) => event_id === 'altered',
    warnings: [
      { kind: 'time_implausible', field: 'event_time', value: '1950-01-01' },
      { kind: 'field_dropped', field: 'channel', value: 'x' },
    ],
  },
]

test.each(cases)(
  '$contract: warnings are in ClickHouse, in Kafka, and counted by kind and project',
  async ({ path, headers = {}, body, status, query, topic, isOwn, warnings }) => {
    const before = await readAltered()
    expect((await post(`${server.url}${path}`, body, headers)).status).toBe(status)
    const [row] = await server.rows<{ warnings: string }>(query, 1)
    expect(JSON.parse(row!.warnings)).toEqual(warnings)
    const readOwn = async () =>
      (await server.records(topic, 1)).map(({ value }) => JSON.parse(value)).filter(isOwn)
    const [record] = await atLeast(1, readOwn, topic)
    expect(record.properties?.$ingest_warnings ?? record.ingest_warnings).toEqual(warnings)
    const after = await readAltered()
    for (const kind of new Set(warnings.map((warning) => warning.kind))) {
      expect({ kind, count: after(kind) - before(kind) }).toEqual({ kind, count: 1 })
    }
  },
)

test('a large body is counted as a small one, and so are duplicates', async () => {
  const before = await readAltered()
  const event = { event: 'large', distinct_id: 'u', timestamp: 'soon', properties: {} }
  const batch = Array.from({ length: 3000 }, (_, n) => ({ ...event, uuid: toUuid(n) }))
  const send = () => post(`${server.url}/batch`, { api_key: 'phc_shop', batch })
  expect((await send()).status).toBe(200)
  expect((await send()).status).toBe(200)
  const after = await readAltered()
  expect(after('time_unreadable') - before('time_unreadable')).toBe(3000)
  expect(after('duplicate') - before('duplicate')).toBe(3000)
})

const toUuid = (n: number) => `019a0000-0000-7000-8000-${String(n).padStart(12, '0')}`

test('an event that is stored as sent has no warning', async () => {
  const event = { token: 'phc_shop', event: 'clean', distinct_id: 'u', properties: { a: 1 } }
  await post(`${server.url}/e`, event)
  const sql = `SELECT properties FROM events WHERE event = 'clean'`
  expect(await server.rows<object>(sql, 1)).toEqual([{ properties: '{"a":1}' }])
})

type Letter = { project: string; reason: string; detail: string; raw: string }

const letters = (project: string, protocol: string, count: number) =>
  server.rows<Letter>(
    `SELECT project, reason, detail, raw FROM dead_letters WHERE project = '${project}' AND protocol = '${protocol}' ORDER BY reason, raw`,
    count,
  )

const report = (events: unknown[], key = 'sk_shop') =>
  post(`${server.url}/users/report/events`, { events }, { ...reportHeaders, 'X-API-KEY': key })
const sound = { name: 'n', user: 'u', sessionId: 's' }

test('a refused report leaves dead letters, and none of its events', async () => {
  expect((await report([sound, { ...sound, user: 7 }])).status).toBe(400)
  const found = await letters('shop', 'report', 2)
  expect(found.map(({ reason, raw }) => [reason, JSON.parse(raw)])).toEqual([
    ['invalid_field', sound],
    ['invalid_field', { ...sound, user: 7 }],
  ])
  expect(await server.query(`SELECT 1 FROM events WHERE event = 'n'`)).toEqual([])
})

test('dead letters of refused reports are bounded, also of a large body, and charged', async () => {
  const many = Array.from({ length: 400 }, () => ({ ...sound, user: 'x'.repeat(500) }))
  expect(JSON.stringify(many).length).toBeGreaterThan(128 * 1024)
  expect((await report(many)).status).toBe(400)
  const found = await letters('shop', 'report', 2 + 101)
  expect(found.at(-1)).toMatchObject({ reason: 'more_rejected', raw: '{"invalid_field":300}' })
  expect(found).toHaveLength(2 + 101)

  expect((await report([5, 6, 7], 'sk_small')).status).toBe(400)
  expect(await letters('small', 'report', 2)).toHaveLength(2)
  const after = await report([{ ...sound, name: 'above the quota' }], 'sk_small')
  expect(after.status).toBe(200)
  await report([{ ...sound, name: 'later' }])
  await server.rows(`SELECT 1 FROM events WHERE event = 'later'`, 1)
  expect(await server.query(`SELECT 1 FROM events WHERE event = 'above the quota'`)).toEqual([])
})

test('a refused link event leaves its dead letter', async () => {
  const track = (body: object) =>
    post(`${server.url}/api/events/track`, { project_id: 'shop', ...body })
  expect((await track({ event_type: 'click', is_bounce: 'no' })).status).toBe(400)
  expect((await track({ link_id: 'x' })).status).toBe(400)
  // The reply names the fault of the event also if no project may send it; then nothing is stored.
  const nobody = { project_id: 'nobody' }
  expect(await track({ ...nobody, link_id: 'x' })).toMatchObject({
    status: 400,
    body: { error: 'Missing required field: event_type' },
  })
  expect((await track({ ...nobody, event_type: 'click', is_bounce: 'no' })).status).toBe(401)
  const found = await letters('shop', 'link', 2)
  expect(found.map(({ reason }) => reason)).toEqual(['invalid_field', 'missing_field'])
  expect(JSON.parse(found[1]!.raw)).toEqual({ project_id: 'shop', link_id: 'x' })
  expect(await server.query(`SELECT 1 FROM dead_letters WHERE project = 'nobody'`)).toEqual([])
})

test('a refused batch of endpoint v1 leaves dead letters', async () => {
  const events = [{ event: 'a', distinct_id: 'u' }, 5]
  const head = { authorization: 'Bearer phc_shop' }
  const url = `${server.url}/i/v1/analytics/events`
  const reply = await post(url, { created_at: '2026-01-01T00:00:00Z', batch: events }, head)
  expect(reply).toMatchObject({ status: 400, body: { error: 'missing_event_uuid' } })
  const found = await letters('shop', 'capture', 2)
  expect(found.map(({ raw }) => JSON.parse(raw))).toEqual([5, events[0]])
})
