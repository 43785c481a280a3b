import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { toStoredLine } from '../../src/core/record.ts'
import { createHttpClickHouse } from '../../src/delivery/clickhouse/http.ts'
import { type ClickHouseService, startClickHouse } from '../services/clickhouse.ts'
import { readResidentBytes } from '../support/resident-bytes.ts'
import { type Spillway, startSpillway } from '../support/spillway.ts'
import { until } from '../support/until.ts'

setDefaultTimeout(600_000)

const mib = 1024 * 1024
/** BACKLOG_BYTES=2147483648 runs the test with a backlog four times as large. */
const backlogBytes = Number(process.env.BACKLOG_BYTES ?? 512 * mib)
/** Smaller than the default, so that a small backlog takes many inserts. */
const insertBytes = 16 * mib
/** Low, because the bare inserts run later, and the load of the machine changes between. */
const speedShareMin = 0.3

let clickhouse: ClickHouseService
beforeAll(async () => {
  clickhouse = await startClickHouse()
})
afterAll(() => clickhouse.stop())

test('drains a backlog at the speed of ClickHouse, in bounded memory and before new events', async () => {
  await using server = await startSpillway({
    ...{ CLICKHOUSE_URL: clickhouse.url, CLICKHOUSE_BYTES_MAX: String(insertBytes) },
    ...{ ACCESS_LOG: 'false', OVERFLOW_PER_SECOND: '0' },
  })
  await until(() => server.query('SELECT 1 FROM events').catch(() => false), { what: 'the table' })
  await clickhouse.kill()
  const backlog = await fillJournal(server)

  await clickhouse.restart()
  const { drainMs, peaks, disorder, freshCount } = await watchDrain(server, backlog)
  await until(async () => (await look(server)).fresh === freshCount, { timeoutMs: 60_000 })
  const rowsPerSecond = backlog / (drainMs / 1000)
  const bareRowsPerSecond = await measureBareInserts()
  if (process.env.BACKLOG_BYTES)
    console.log({ backlog, drainMs, rowsPerSecond, bareRowsPerSecond, ...peaks })

  const [row] = await server.query<Counts>(
    'SELECT count() AS rows, uniqExact(uuid) AS uuids FROM events',
  )
  expect([Number(row!.rows), Number(row!.uuids)]).toEqual([
    backlog + freshCount,
    backlog + freshCount,
  ])
  expect(disorder).toEqual([])
  // A server that keeps the backlog in memory would grow by half of it.
  expect(peaks.secondHalfBytes - peaks.firstHalfBytes).toBeLessThan(backlogBytes / 4)
  expect(rowsPerSecond).toBeGreaterThan(bareRowsPerSecond * speedShareMin)
})

type Counts = { rows: string; uuids: string }

const post = (url: string, body: string) => fetch(`${url}/batch/`, { method: 'POST', body })

/**
 * Posts until the journal holds the backlog. Returns the number of events. They have no uuid, so none is
 * a duplicate.
 */
async function fillJournal({ url }: Spillway): Promise<number> {
  let events = 0
  const isFilled = async () => {
    const health = (await (await fetch(`${url}/health`)).json()) as { journal: { bytes: number } }
    return health.journal.bytes >= backlogBytes
  }
  const clients = Array.from({ length: 4 }, async () => {
    const batch = Array.from({ length: 1000 }, toOldEvent)
    const body = JSON.stringify({ api_key: 'phc_test', batch })
    while (!(await isFilled())) {
      const reply = await post(url, body)
      if (reply.status !== 200) throw new Error(await reply.text())
      events += batch.length
    }
  })
  await Promise.all(clients)
  return events
}

/** A line of about a kilobyte of random hexadecimal digits. */
function toOldEvent() {
  const text = Buffer.from(crypto.getRandomValues(new Uint8Array(300))).toString('hex')
  return { event: 'old', distinct_id: 'someone', properties: { text } }
}

type Look = { old: number; fresh: number; next: number }

async function look(server: Spillway): Promise<Look> {
  const [row] = await server.query<Record<keyof Look, string>>(`
    SELECT countIf(event = 'old') AS old, countIf(event = 'fresh') AS fresh,
      maxIf(toUInt64OrZero(distinct_id) + 1, event = 'fresh') AS next FROM events`)
  return { old: Number(row!.old), fresh: Number(row!.fresh), next: Number(row!.next) }
}

/**
 * Sends new events with increasing numbers until the first one is stored. Records each state in which a
 * new event is stored before all old ones, or before an earlier new one.
 */
async function watchDrain(server: Spillway, backlog: number) {
  const disorder: Look[] = []
  const peaks = { firstHalfBytes: 0, secondHalfBytes: 0 }
  let [startMs, drainMs, freshCount] = [performance.now(), 0, 0]
  const isOver = async () => {
    await postFresh(server, freshCount)
    freshCount += 1
    const seen = await look(server)
    if (seen.old === 0) startMs = performance.now()
    drainMs = performance.now() - startMs
    const half = seen.old < backlog / 2 ? 'firstHalfBytes' : 'secondHalfBytes'
    peaks[half] = Math.max(peaks[half], readResidentBytes(server.pid()))
    if ((seen.fresh > 0 && seen.old < backlog) || seen.fresh !== seen.next) disorder.push(seen)
    return seen.fresh > 0
  }
  await until(isOver, { timeoutMs: 500_000, pauseMs: 50, what: 'the first fresh event' })
  return { drainMs, peaks, disorder, freshCount }
}

async function postFresh({ url }: Spillway, number: number): Promise<void> {
  const event = { event: 'fresh', distinct_id: String(number) }
  const reply = await post(url, JSON.stringify({ api_key: 'phc_test', batch: [event] }))
  if (reply.status !== 200) throw new Error(await reply.text())
}

/** Rows per second when the same rows are inserted without Spillway, in inserts of the same size. */
async function measureBareInserts(): Promise<number> {
  const sql = `SELECT * FROM events WHERE event = 'old' LIMIT 16000 FORMAT JSONEachRow`
  const text = await (await fetch(clickhouse.url, { method: 'POST', body: sql })).text()
  const lines = text
    .trimEnd()
    .split('\n')
    .map((line) => toStoredLine(Buffer.from(`${line}\n`)))
  const client = createHttpClickHouse({ url: clickhouse.url, timeoutMs: 60_000 })
  await client.command('CREATE TABLE bare AS events')
  const inserts = 6
  const startMs = performance.now()
  for (let insert = 0; insert < inserts; insert += 1) {
    const { signal } = new AbortController()
    await client.insert({ table: 'bare', token: crypto.randomUUID(), lines }, signal)
  }
  const seconds = (performance.now() - startMs) / 1000
  await client.close()
  return (inserts * lines.length) / seconds
}
