import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { sleep } from '../../../src/core/async.ts'
import { createClickHouseSink } from '../../../src/delivery/clickhouse/sink.ts'
import { createStore } from '../../../src/delivery/clickhouse/store.ts'
import { until } from '../../support/until.ts'
import * as fixtures from '../../unit/delivery/clickhouse/fixtures.ts'
import { type ClickHouseService, startClickHouse } from '../clickhouse.ts'

setDefaultTimeout(120_000)

let service: ClickHouseService
beforeAll(async () => {
  service = await startClickHouse()
})
afterAll(() => service.stop())

async function makeSink(timeoutMs: number) {
  const { clickhouse, prepare } = await createStore(
    fixtures.makeSettings({ CLICKHOUSE_URL: service.url, CLICKHOUSE_TIMEOUT_MS: timeoutMs }),
  )
  const report = fixtures.makeReport()
  const sink = createClickHouseSink({
    ...{ clickhouse, prepare, cursors: fixtures.makeLedger(), report, now: Date.now },
    ...{ journalId: crypto.randomUUID(), cluster: undefined, killAfterMs: 2000 },
    ...{ backoff: { firstMs: 20, maxMs: 200 }, sleep, random: Math.random },
  })
  return { sink, clickhouse, report }
}

/** Ships batches until `isOver`. Returns the shipped records. */
async function load({ sink }: Awaited<ReturnType<typeof makeSink>>, isOver: () => boolean) {
  const shipped = []
  while (!isOver()) {
    const records = fixtures.makeEvents(200, shipped.length)
    await sink.ship(fixtures.toBatch(records), fixtures.never)
    shipped.push(...records)
  }
  return shipped
}

describe('the ClickHouse sink', () => {
  test.each([
    [
      'is killed repeatedly',
      async () => {
        for (let kill = 0; kill < 3; kill += 1) await service.restart()
      },
    ],
    [
      'hangs for longer than the timeout of an insert',
      async () => {
        service.pause()
        const pausedMs = performance.now()
        await until(() => performance.now() - pausedMs > 1500)
        service.resume()
      },
    ],
  ])('stores every row once if the server %s', async (_, disturb) => {
    const made = await makeSink(500)
    let isOver = false
    const loading = load(made, () => isOver)
    await disturb()
    isOver = true
    const shipped = await loading
    const sql = 'SELECT count() AS n, uniqExact(uuid) AS u FROM events'
    const [row] = await made.clickhouse.query<{ n: string; u: string }>(sql)
    expect([Number(row!.n), Number(row!.u)]).toEqual([shipped.length, shipped.length])
    expect(made.report.retries.length).toBeGreaterThan(0)
    expect(made.report.rejections).toEqual([])
    await made.clickhouse.command('TRUNCATE TABLE events')
    await made.sink.close()
  })
})
