import { afterEach, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { type Config, loadConfig } from '../../../src/config/config.ts'
import { silentLog } from '../../../src/core/log.ts'
import type { CommittedBlock } from '../../../src/core/record.ts'
import { createHttpClickHouse } from '../../../src/delivery/clickhouse/http.ts'
import { loadFurthestOffset } from '../../../src/delivery/cursors.ts'
import { createShipping, type Shipping } from '../../../src/delivery/shipping.ts'
import { type Journal, openJournal } from '../../../src/journal/journal.ts'
import { temporaryFolder } from '../../support/folder.ts'
import { until } from '../../support/until.ts'
import { makeJournalRecord } from '../../unit/delivery/block-fixtures.ts'
import { shared } from '../shared.ts'

setDefaultTimeout(60_000)

const closers: (() => Promise<void> | void)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

/** A journal and its delivery thread, with a database of its own. */
async function startWorld() {
  const folder = temporaryFolder()
  closers.push(() => folder[Symbol.dispose]())
  const database = `thread_${crypto.randomUUID().replaceAll('-', '')}`
  const url = `${await shared.clickhouse()}/${database}`
  const reader = createHttpClickHouse({ url, timeoutMs: 10_000 })
  closers.push(() => reader.close())

  async function open(given: Partial<Config> & { isEmbedded?: boolean } = {}) {
    const { isEmbedded = false, ...settings } = given
    const server = isEmbedded ? {} : { CLICKHOUSE_URL: url }
    let shipping: Shipping | undefined
    const blocks: CommittedBlock[] = []
    const journal = await openJournal({
      ...{ dir: `${folder.path}/journal`, segmentBytes: 1_048_576, bytesMax: 2 ** 30 },
      ...{ durability: 'disk' as const, now: Date.now, log: silentLog },
      endOffsetMin: loadFurthestOffset(`${folder.path}/state`),
      onCommitted(block) {
        blocks.push(block)
        shipping?.push(block)
      },
    })
    shipping = createShipping({
      ...{ journalDir: `${folder.path}/journal`, stateDir: `${folder.path}/state` },
      ...{ journalId: journal.id, endOffset: journal.endOffset, log: silentLog },
      config: {
        ...loadConfig({ DATA_DIR: folder.path, ...server }).config,
        ...{ CLICKHOUSE_FLUSH_MS: 10, CLICKHOUSE_ROWS_MAX: 1000, ...settings },
      },
      onAdvanced: (_, offset) => void journal.release(offset),
    })
    async function close(): Promise<void> {
      await shipping!.close()
      await journal.close()
    }
    closers.push(close)
    await shipping.start()
    return { journal, shipping, blocks, close }
  }
  const count = async () => {
    const sql = 'SELECT count() AS n, uniqExact(uuid) AS u FROM events'
    const [row] = await reader.query<{ n: string; u: string }>(sql)
    return [Number(row!.n), Number(row!.u)]
  }
  return { open, count }
}

let made = 0
async function append(journal: Journal, events: number): Promise<void> {
  const records = Array.from({ length: events }, () => makeJournalRecord(made++))
  await journal.append(records)
}

describe('the delivery thread', () => {
  test('ships committed records to ClickHouse', async () => {
    const world = await startWorld()
    const { journal, shipping, blocks } = await world.open()
    for (let commit = 0; commit < 5; commit += 1) await append(journal, 40)
    await until(() => shipping.stats().sinks.clickhouse?.cursor === 200)
    expect(await world.count()).toEqual([200, 200])
    expect(blocks.map(({ bytes }) => bytes.byteLength)).toEqual(Array(blocks.length).fill(0))
    await until(() => shipping.health().clickhouse?.state === 'healthy')
    await until(() => shipping.stats().sinks.clickhouse?.shipped.capture === 200)
    expect(shipping.stats()).toMatchObject({ transitBytes: 0, threadRestarts: 0 })
  })

  test('reads blocks from the journal that exceed the transit bound', async () => {
    const world = await startWorld()
    const { journal, shipping } = await world.open({ RING_BYTES_MAX: 10_000 })
    for (let commit = 0; commit < 5; commit += 1) await append(journal, 100)
    expect(await shipping.drain(30_000)).toBe(true)
    expect(await world.count()).toEqual([500, 500])
  })

  test('continues at its cursor after a restart', async () => {
    const world = await startWorld()
    const first = await world.open()
    await append(first.journal, 100)
    expect(await first.shipping.drain(30_000)).toBe(true)
    await first.close()
    const second = await world.open()
    await append(second.journal, 50)
    expect(await second.shipping.drain(30_000)).toBe(true)
    expect(second.shipping.stats().sinks.clickhouse?.batches).toBe(1)
    expect(await world.count()).toEqual([150, 150])
  })

  test('keeps records in the journal while the server is unreachable', async () => {
    const world = await startWorld()
    const first = await world.open({ CLICKHOUSE_URL: 'http://127.0.0.1:1/nowhere' })
    await append(first.journal, 100)
    await until(() => first.shipping.health().clickhouse?.lastError)
    expect(first.shipping.health().clickhouse).toMatchObject({ state: 'unhealthy', lagEvents: 100 })
    expect(await first.shipping.drain(50)).toBe(false)
    await first.close()
    const second = await world.open()
    expect(await second.shipping.drain(30_000)).toBe(true)
    expect(await world.count()).toEqual([100, 100])
  })

  test('runs the embedded ClickHouse without CLICKHOUSE_URL', async () => {
    const world = await startWorld()
    const { journal, shipping } = await world.open({ isEmbedded: true })
    await until(() => shipping.health().clickhouse?.state === 'healthy')
    await append(journal, 100)
    expect(await shipping.drain(30_000)).toBe(true)
    expect(shipping.health().clickhouse?.lagEvents).toBe(0)
  })
})
