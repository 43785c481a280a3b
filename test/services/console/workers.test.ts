import { afterAll, beforeAll, expect, test } from 'bun:test'
import { freePort } from '../../support/port.ts'
import { type Spillway, startSpillway } from '../../support/spillway.ts'
import { until } from '../../support/until.ts'
import { type ClickHouseService, startClickHouse } from '../clickhouse.ts'
import { type RedisService, startRedis } from '../redis.ts'
import { contracts, type Document, post, read, send, senders, watch } from './support.ts'

const patience = { timeoutMs: 30_000 }
let clickhouse: ClickHouseService
let redis: RedisService
let server: Spillway

beforeAll(async () => {
  ;[clickhouse, redis] = await Promise.all([startClickHouse(), startRedis()])
  server = await startSpillway({
    WORKERS: '2',
    CLICKHOUSE_URL: clickhouse.url,
    REDIS_URL: redis.url,
    REDIS_PREFIX: crypto.randomUUID(),
    REALTIME_PORT: String(freePort()),
  })
  await until(() => server.log().includes('every process is ready'), patience)
}, 90_000)
afterAll(async () => {
  await server?.[Symbol.asyncDispose]()
  await Promise.all([clickhouse?.stop(), redis?.stop()])
})

/** A new connection each time, so that both workers get some. */
const anew = { connection: 'close' }
const process = (id: string) => id.split('-')[0]!

/** Sends until both workers have taken an event. */
async function sendToBoth(): Promise<string[]> {
  const ids = new Map<string, string>()
  await until(async () => {
    const { requestId } = await senders.capture(server.url, anew)
    ids.set(process(requestId), requestId)
    return ids.size === 2
  }, patience)
  return [...ids.values()]
}

test('figures are the sum over all workers, whichever answers', async () => {
  for (const contract of contracts) await senders[contract](server.url, anew)
  await sendToBoth()
  for (let at = 0; at < 6; at += 1) {
    const overview = await until(async () => {
      const document = await read(server, 'overview', anew)
      const { telemetry, link } = document.totals
      return telemetry.accepted === 1 && link.accepted === 1 && document
    }, patience)
    expect(overview.notes).toEqual([])
  }
  await until(async () => (await read(server, 'history', anew)).points.length > 0, patience)
}, 60_000)

test('an event of any worker is found by any worker', async () => {
  const ids = await sendToBoth()
  for (const id of [...ids, ...ids, ...ids]) {
    const { events, notes } = await read(server, `trace?id=${id}`, anew)
    expect(events).toHaveLength(1)
    expect(events[0].request.id).toBe(id)
    expect(notes).toEqual([])
  }
}, 60_000)

test('refusals and live events of all workers are shown', async () => {
  const stream = await watch(server, '')
  await until(async () => {
    await sendToBoth()
    await post(`${server.url}/e`, '{', anew)
    const seen = new Set(stream.seen.map(({ request_id }) => process(request_id)))
    const { refusals } = await read(server, 'refusals', anew)
    const refused = new Set(refusals.map(({ request_id }: Document) => process(request_id)))
    return seen.size === 2 && refused.size === 2
  }, patience)
  await stream.end()
}, 60_000)

test('a dead letter is sent again by either worker, and stored once', async () => {
  await post(`${server.url}/e`, { api_key: 'phc_w', event: '', distinct_id: 'ada' })
  const letter = await until(
    async () => (await read(server, 'dead-letters?project=phc_w')).letters[0],
    patience,
  )
  const verdicts: string[] = []
  for (let at = 0; at < 8; at += 1) {
    const event = { event: 'repaired', distinct_id: 'ada' }
    const { document } = await send(server, 'dead-letters/resend', { uuid: letter.uuid, event })
    verdicts.push(document().result.verdict)
  }
  expect(verdicts).toEqual(['stored', ...Array.from({ length: 7 }, () => 'duplicate')])
}, 60_000)
