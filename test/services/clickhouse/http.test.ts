import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import type { StoredRecord } from '../../../src/core/record.ts'
import {
  type ClickHouseSettings,
  parseClickHouseSettings,
} from '../../../src/delivery/clickhouse/settings.ts'
import { createClickHouseSink } from '../../../src/delivery/clickhouse/sink.ts'
import { createStore } from '../../../src/delivery/clickhouse/store.ts'
import { type FaultProxy, type ProxyFault, startFaultProxy } from '../../support/fault-proxy.ts'
import * as fixtures from '../../unit/delivery/clickhouse/fixtures.ts'
import { shared } from '../shared.ts'

setDefaultTimeout(60_000)

const { makeEvents, never, toBatch, uuidsOf } = fixtures
let proxy: FaultProxy
let database: string

beforeAll(async () => {
  proxy = await startFaultProxy(await shared.clickhouse())
  database = `sinks_${crypto.randomUUID().replaceAll('-', '')}`
})
afterAll(() => proxy.close())

const settings = (given: Partial<ClickHouseSettings> = {}) =>
  fixtures.makeSettings({ CLICKHOUSE_URL: `${proxy.url}/${database}`, ...given })

async function makeSink(given: Partial<ClickHouseSettings> = {}) {
  const { clickhouse, prepare } = await createStore(settings(given))
  const report = fixtures.makeReport()
  const sink = createClickHouseSink({
    ...fixtures.instantly,
    ...{ clickhouse, prepare, cursors: fixtures.makeLedger(), report, now: Date.now },
    ...{ journalId: crypto.randomUUID(), cluster: undefined, killAfterMs: 5000 },
  })
  return { sink, clickhouse, report }
}

const isInsert = (statement: string) => statement.startsWith('INSERT INTO events')

/** Injects one fault for each insert; later inserts pass. */
function injectFaults(...faults: ProxyFault[]): void {
  proxy.fault = (statement) => (isInsert(statement) ? faults.shift() : undefined)
}

async function storedOf(records: readonly StoredRecord[]): Promise<string[]> {
  const { clickhouse } = await makeSink()
  const uuids = uuidsOf(records).map((uuid) => `'${uuid}'`)
  const sql = `SELECT uuid FROM events WHERE uuid IN (${uuids}) ORDER BY toString(uuid)`
  return (await clickhouse.query<{ uuid: string }>(sql)).map(({ uuid }) => uuid)
}

describe('ClickHouse over HTTP', () => {
  test('creates the database of the URL', async () => {
    const records = makeEvents(3)
    const { sink, report } = await makeSink()
    await sink.ship(toBatch(records), never)
    expect(await storedOf(records)).toEqual(uuidsOf(records))
    expect(report.retries).toEqual([])
  })

  test.each<ProxyFault[]>([
    ['drop-reply'],
    ['cut-reply'],
    ['drop-request'],
    ['cut-request'],
    ['error-before'],
    ['error-after'],
    ['garbage'],
    ['empty-ok'],
    ['late-exception'],
    ['exception-in-body'],
    ['garbage', 'drop-reply', 'empty-ok'],
    ['error-after', 'cut-request', 'error-before'],
  ])('stores every row once through: %s', async (...faults) => {
    const records = makeEvents(50)
    const { sink, report } = await makeSink()
    injectFaults(...faults)
    await sink.ship(toBatch(records), never)
    expect(await storedOf(records)).toEqual(uuidsOf(records))
    expect(report.retries.length).toBeGreaterThanOrEqual(1)
    expect(report.rejections).toEqual([])
  })

  test.each<ProxyFault>(['empty-ok', 'garbage'])(
    'does not take rows for missing after a read-back without proof: %s',
    async (fault) => {
      const records = makeEvents(50)
      const { sink, report } = await makeSink()
      const inserts: ProxyFault[] = ['drop-reply']
      // The proxy answers instead of the server, for system.processes and for the read-back.
      const questions = [undefined, fault, fault, undefined, fault]
      proxy.fault = (statement) => {
        if (isInsert(statement)) return inserts.shift()
        return inserts.length === 0 ? questions.shift() : undefined
      }
      await sink.ship(toBatch(records), never)
      proxy.fault = () => undefined
      expect(await storedOf(records)).toEqual(uuidsOf(records))
      expect(report.retries.length).toBe(4)
    },
  )

  test('times out on a hanging server, and stores every row once afterwards', async () => {
    const records = makeEvents(50)
    const { sink, report } = await makeSink({ CLICKHOUSE_TIMEOUT_MS: 300 })
    injectFaults('hang')
    await sink.ship(toBatch(records), never)
    expect(await storedOf(records)).toEqual(uuidsOf(records))
    expect(report.retries.length).toBe(1)
  })

  test('sends rows again if a token succeeds without storing them', async () => {
    const records = makeEvents(5)
    const { sink, clickhouse } = await makeSink()
    await sink.ship(toBatch(makeEvents(1)), never)
    let inserts = 0
    proxy.fault = (statement) => {
      if (!isInsert(statement)) return undefined
      inserts += 1
      return inserts === 1 ? 'drop-reply' : undefined
    }
    const removed = clickhouse.query
    clickhouse.query = async <T>(sql: string): Promise<T[]> => {
      // The state after a failed rename: the token stays, the rows do not.
      if (inserts === 1)
        await clickhouse.command('DELETE FROM events WHERE 1 SETTINGS mutations_sync = 1')
      return removed(sql)
    }
    await sink.ship(toBatch(records), never)
    expect(await storedOf(records)).toEqual(uuidsOf(records))
    expect(inserts).toBe(3)
  })

  test('dead-letters bad rows', async () => {
    proxy.fault = () => undefined
    const records = makeEvents(20)
    const bad = fixtures.makeEvent(20, { timestamp: 'never' })
    const { sink, report } = await makeSink()
    await sink.ship(toBatch([...records.slice(0, 7), bad, ...records.slice(7)]), never)
    expect(await storedOf([...records, bad])).toEqual(uuidsOf(records))
    expect(report.rejections).toEqual(['cannot_parse_datetime'])
  })

  test('sends bodies of many megabytes', async () => {
    proxy.fault = () => undefined
    const records = makeEvents(30).map((_, offset) =>
      fixtures.makeEvent(offset, { properties: { a: 'x'.repeat(1_000_000) } }),
    )
    const { sink, report } = await makeSink()
    await sink.ship(toBatch(records), never)
    expect(await storedOf(records)).toEqual(uuidsOf(records))
    expect(report.retries).toEqual([])
  })

  test('does not report the password', async () => {
    const url = `http://somebody:hunter2@127.0.0.1:1/${database}`
    const { sink, report } = await makeSink({ CLICKHOUSE_URL: url })
    const stop = new AbortController()
    const said: string[] = []
    report.retried = (reason, message) => {
      said.push(reason, message)
      stop.abort()
    }
    const shipping = sink.ship(toBatch(makeEvents(1)), stop.signal)
    await expect(shipping).rejects.toThrow()
    await sink.close()
    expect(said[0]).toBe('unreachable')
    expect(said.join()).not.toContain('hunter2')
  })

  test('ends at once when the signal aborts', async () => {
    const { sink, clickhouse } = await makeSink()
    const stop = new AbortController()
    proxy.fault = (statement) => {
      if (!isInsert(statement)) return undefined
      stop.abort(new Error('enough'))
      return 'hang'
    }
    await expect(sink.ship(toBatch(makeEvents(1)), stop.signal)).rejects.toThrow('enough')
    proxy.fault = () => undefined
    await clickhouse.close()
  })
})

describe('parseClickHouseSettings rejects', () => {
  test.each([
    ['a cluster without a server', { CLICKHOUSE_CLUSTER: 'c' }, 'CLICKHOUSE_URL is not'],
    [
      'an invalid cluster name',
      { CLICKHOUSE_URL: 'http://host', CLICKHOUSE_CLUSTER: "c') --" },
      'is not a valid name of a cluster',
    ],
    [
      'a URL of another protocol',
      { CLICKHOUSE_URL: 'tcp://host:9000' },
      'CLICKHOUSE_URL does not start with',
    ],
    [
      'two properties with one column',
      { EVENTS_COLUMNS: ['$os', 'os'] },
      'EVENTS_COLUMNS names $os and os, which have the same column property_os',
    ],
    [
      'more columns than an insert should compute',
      { EVENTS_COLUMNS: Array.from({ length: 51 }, (_, index) => `p${index}`) },
      'EVENTS_COLUMNS has 51 names; at most 50',
    ],
  ])('%s', (_, given, message) => {
    expect(() => parseClickHouseSettings(fixtures.makeSettings(given))).toThrow(message)
  })
})

test('limits the time of every statement', async () => {
  proxy.fault = () => 'hang'
  const { clickhouse } = await createStore(settings({ CLICKHOUSE_TIMEOUT_MS: 100 }))
  await expect(clickhouse.query('SELECT 1')).rejects.toMatchObject({
    kind: 'unknown',
    code: undefined,
  })
  await expect(clickhouse.command('SELECT 1')).rejects.toMatchObject({ code: undefined })
  await Promise.allSettled([clickhouse.query('SELECT 1')])
  proxy.fault = () => undefined
})
