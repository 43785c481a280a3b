import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { randomBytes } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { sinkNames } from '../../src/core/sink.ts'
import { type ClickHouseService, startClickHouse } from '../services/clickhouse.ts'
import { requireKcat } from '../services/kafka-reader.ts'
import { shared } from '../services/shared.ts'
import { settle, toTopicSettings } from '../support/delivery.ts'
import { temporaryFolder } from '../support/folder.ts'
import { readRecords } from '../support/kafka-records.ts'
import { type Scrape, scrape, toImbalances } from '../support/metrics.ts'
import { type Spillway, startSpillway } from '../support/spillway.ts'
import { startTraffic } from '../support/traffic.ts'
import { until } from '../support/until.ts'

setDefaultTimeout(180_000)

const projects = `
[[projects]]
id = "open"
tokens = ["phc_open"]
api_keys = ["sk_open"]
apps = ["web"]

[[projects]]
id = "small"
tokens = ["phc_small"]
quotas.events = { max = 2, period = "month" }
`

const balanced = { intake: 0, commits: 0, clickhouse: 0, kafka: 0, archive: 0 }
const folder = temporaryFolder()
const archive = join(folder.path, 'archive')
const topics = toTopicSettings(`balance${process.pid}`)
let brokers: string[]
let clickhouse: ClickHouseService
let server: Spillway
beforeAll(async () => {
  const projectsPath = join(folder.path, 'projects.toml')
  writeFileSync(projectsPath, projects)
  mkdirSync(archive)
  await requireKcat()
  brokers = await shared.kafka()
  clickhouse = await startClickHouse()
  server = await startSpillway({
    ...topics,
    KAFKA_BROKERS: brokers.join(','),
    // The smallest value, so that a test event can exceed it.
    KAFKA_MESSAGE_BYTES_MAX: String(64 * 1024),
    CLICKHOUSE_URL: clickhouse.url,
    ARCHIVE: archive,
    ARCHIVE_FLUSH_MS: '100',
    PROJECTS_FILE: projectsPath,
    OVERFLOW_PER_SECOND: '1',
    OVERFLOW_BURST: '3',
  })
})
afterAll(async () => {
  await server?.[Symbol.asyncDispose]()
  await clickhouse?.stop()
  folder[Symbol.dispose]()
})

async function send(path: string, body: object, headers: Record<string, string> = {}) {
  const sent = { method: 'POST', body: JSON.stringify(body), headers }
  const response = await fetch(`${server.url}${path}`, sent)
  await response.text()
  return response.status
}

const batchOf = (token: string, ...batch: object[]) => ({ api_key: token, batch })
const makeEvent = (user: string, properties: object = {}) => ({
  ...{ event: 'bought', uuid: crypto.randomUUID(), distinct_id: user, properties },
})

/** Sends events with every outcome. The test lists the expected counts. */
async function sendEveryOutcome(): Promise<number[]> {
  const nameless = { distinct_id: 'u', properties: {} }
  const mixed = batchOf('phc_open', makeEvent('u1'), nameless, makeEvent('u2'))
  const measured = { ...makeEvent('u1'), event: '$performance_event' }
  const small = Array.from({ length: 5 }, (_, index) => makeEvent(`small-${index}`))
  const hot = Array.from({ length: 8 }, () => makeEvent('hot'))
  const bulky = makeEvent('u3', { bulk: randomBytes(150_000).toString('base64') })
  const base = { name: 'seen', app: 'web', release: '1', sessionId: 's', ts: Date.now() }
  const telemetry = ['a', 'b', 'a'].map((id) => ({ ...base, id, type: 'page' }))
  const report = { events: [{ name: 'seen', user: 'u', sessionId: 's' }] }
  const reportHead = { 'X-API-KEY': 'sk_open', 'X-USER-ID': 'u', 'X-APP-ID': 'a' }
  return [
    await send('/batch/', mixed),
    await send('/batch/', mixed),
    await send('/batch/', batchOf('phc_open', measured, makeEvent('u1'))),
    await send('/batch/', batchOf('phc_small', ...small)),
    await send('/batch/', batchOf('phc_open', ...hot)),
    await send('/batch/', batchOf('phc_open', bulky)),
    await send('/batch/', batchOf('phc_unknown', makeEvent('u1'), makeEvent('u2'))),
    await send('/api/telemetry/events', telemetry),
    await send('/api/events/track', { event_type: 'click', event_id: 'e1', project_id: 'open' }),
    await send('/users/report/events', report, {
      ...reportHead,
      'X-PLATFORM': 'ios',
      'X-VERSION': '1',
    }),
  ]
}

const of = (read: Scrape, stage: string, labels = {}) =>
  read(`spillway_events_${stage}_total`, labels)

/** The delivery thread reports its counts four times a second, so wait until they settle. */
async function becomesBalanced(): Promise<Scrape> {
  const isBalanced = async () => Bun.deepEquals(await imbalances(), balanced)
  await until(isBalanced, { timeoutMs: 60_000, pauseMs: 50 }).catch(() => {})
  expect(await imbalances()).toEqual(balanced)
  return scrape(server.url)
}
const imbalances = async () => toImbalances(await scrape(server.url), sinkNames)

const countRows = async () => {
  const tables = ['events', 'link_events', 'recordings']
  const sql = tables.map((table) => `SELECT count() AS n FROM ${table}`).join(' UNION ALL ')
  const rows = await server.query<{ n: number }>(sql)
  return rows.reduce((sum, { n }) => sum + Number(n), 0)
}

async function countKafka(): Promise<number> {
  const names = [
    topics.KAFKA_TOPIC_EVENTS,
    topics.KAFKA_TOPIC_OVERFLOW,
    topics.KAFKA_TOPIC_LINK_EVENTS,
  ]
  const records = await Promise.all(names.map((name) => readRecords(brokers, name)))
  return new Set(records.flat().map(({ headers }) => headers.uuid)).size
}

test('balances after load, faults and a restart, and matches the rows in the sinks', async () => {
  expect(await sendEveryOutcome()).toEqual([200, 200, 200, 200, 200, 200, 401, 200, 201, 200])
  await settle(server)
  const before = await becomesBalanced()
  expect(of(before, 'received', { contract: 'capture' })).toBe(3 + 3 + 2 + 5 + 8 + 1 + 2)
  expect(of(before, 'accepted', { contract: 'capture' })).toBe(2 + 1 + 2 + 8 + 1)
  expect(of(before, 'rejected', { reason: 'missing_event_name' })).toBe(2)
  expect(of(before, 'rejected', { reason: 'unknown_token' })).toBe(2)
  expect(of(before, 'duplicate', { contract: 'capture' })).toBe(2)
  expect(of(before, 'dropped')).toBe(1)
  expect(of(before, 'quota_dropped')).toBe(3)
  expect(of(before, 'overflowed')).toBe(5)
  expect(of(before, 'accepted', { contract: 'telemetry' })).toBe(2)
  expect(of(before, 'duplicate', { contract: 'telemetry' })).toBe(1)
  expect(of(before, 'accepted', { contract: 'link' })).toBe(1)
  expect(of(before, 'accepted', { contract: 'report' })).toBe(1)
  const deadLettered = { sink: 'kafka', reason: 'record_too_large' }
  expect(before('spillway_sink_dead_lettered_total', deadLettered)).toBe(1)
  const shipped = (read: Scrape, sink: string) => read('spillway_sink_shipped_total', { sink })
  expect(shipped(before, 'clickhouse')).toBe(await countRows())
  expect(shipped(before, 'kafka')).toBe(await countKafka())

  // While ClickHouse is down its events wait and those of Kafka do not.
  await clickhouse.kill()
  const traffic = startTraffic({ url: server.url, clients: 2, token: 'phc_open' })
  const { acknowledged } = traffic.ledger
  await until(() => acknowledged.size > 500, { timeoutMs: 60_000, what: 'events' })
  await traffic.stop()
  await send('/batch/', batchOf('phc_open', { distinct_id: 'u' }, makeEvent('u9')))
  const kafkaWaits = (read: Scrape) => read('spillway_sink_waiting_records', { sink: 'kafka' })
  await until(async () => kafkaWaits(await scrape(server.url)) === 0, { timeoutMs: 60_000 })
  const away = await becomesBalanced()
  const waiting = acknowledged.size + 1
  expect(away('spillway_sink_waiting_events', { sink: 'clickhouse' })).toBe(waiting)
  // Records include the dead letter of the intake, events do not.
  expect(away('spillway_sink_waiting_records', { sink: 'clickhouse' })).toBe(waiting + 1)

  await server.kill()
  await server.start()
  const restarted = await becomesBalanced()
  expect(restarted('spillway_sink_recovered_total', { sink: 'clickhouse' })).toBe(waiting)
  expect(restarted('spillway_sink_waiting_events', { sink: 'clickhouse' })).toBe(waiting)
  await clickhouse.restart()
  await send('/batch/', batchOf('phc_open', makeEvent('u10')))
  await settle(server)
  const settled = await becomesBalanced()
  expect(shipped(settled, 'clickhouse')).toBe(waiting + 1)
  expect(settled('spillway_sink_waiting_events')).toBe(0)
  expect(await countRows()).toBe(shipped(before, 'clickhouse') + waiting + 1)
})

test.each([
  ...[
    'received',
    'accepted',
    'duplicate',
    'dropped',
    'quota_dropped',
    'overflowed',
    'committed',
  ].map((stage) => `spillway_events_${stage}_total{contract="capture"}`),
  'spillway_journal_bytes',
  'spillway_journal_oldest_seconds',
  'spillway_journal_commit_seconds_bucket{le="0.001"}',
  'spillway_request_seconds_bucket{le="0.2",contract=',
  'spillway_ring_bytes',
  'spillway_ring_max_bytes',
  'spillway_sink_waiting_records{sink="kafka"}',
  'spillway_sink_shipped_total{sink="clickhouse",contract="capture"}',
  'spillway_sink_recovered_total{sink="clickhouse",contract="capture"}',
  'spillway_marker_bytes',
  'spillway_marker_failures_total',
  'spillway_markers_unsaved_total',
  'spillway_disk_free_bytes',
  'spillway_redis_failures_total',
])('/metrics contains %s', async (sample) => {
  const text = await (await fetch(`${server.url}/metrics`)).text()
  expect(text.split('\n').filter((line) => line.startsWith(sample)).length).toBeGreaterThan(0)
})
