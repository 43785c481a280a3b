import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import type { StoredRecord } from '../../../src/core/record.ts'
import { createClickHouseSink } from '../../../src/delivery/clickhouse/sink.ts'
import {
  type ClickHouseSettings,
  createStore,
  parseClickHouseSettings,
} from '../../../src/delivery/clickhouse/store.ts'
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

/** What the inserts suffer, one after the other; then they pass. */
function suffer(...faults: ProxyFault[]): void {
  proxy.fault = (statement) => (isInsert(statement) ? faults.shift() : undefined)
}

async function storedOf(records: readonly StoredRecord[]): Promise<string[]> {
  const { clickhouse } = await makeSink()
  const uuids = uuidsOf(records).map((uuid) => `'${uuid}'`)
  const sql = `SELECT uuid FROM events WHERE uuid IN (${uuids}) ORDER BY toString(uuid)`
  return (await clickhouse.query<{ uuid: string }>(sql)).map(({ uuid }) => uuid)
}

describe('ClickHouse over HTTP', () => {
  test('makes the database that the URL names', async () => {
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
    suffer(...faults)
    await sink.ship(toBatch(records), never)
    expect(await storedOf(records)).toEqual(uuidsOf(records))
    expect(report.retries.length).toBeGreaterThanOrEqual(1)
    expect(report.buried).toEqual([])
  })

  test.each<ProxyFault>(['empty-ok', 'garbage'])(
    'does not believe that rows are missing where no ClickHouse says so: %s',
    async (fault) => {
      const records = makeEvents(50)
      const { sink, report } = await makeSink()
      const inserts: ProxyFault[] = ['drop-reply']
      // In the place of whether it still runs, and of which rows are there.
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

  test('gives up on a server that hangs, and stores every row once after it', async () => {
    const records = makeEvents(50)
    const { sink, report } = await makeSink({ CLICKHOUSE_TIMEOUT_MS: 300 })
    suffer('hang')
    await sink.ship(toBatch(records), never)
    expect(await storedOf(records)).toEqual(uuidsOf(records))
    expect(report.retries.length).toBe(1)
  })

  test('does not believe an OK to a token whose rows are not there', async () => {
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
      // A failed rename: the token stays, the rows do not.
      if (inserts === 1)
        await clickhouse.command('DELETE FROM events WHERE 1 SETTINGS mutations_sync = 1')
      return removed(sql)
    }
    await sink.ship(toBatch(records), never)
    expect(await storedOf(records)).toEqual(uuidsOf(records))
    expect(inserts).toBe(3)
  })

  test('sets poisoned rows aside', async () => {
    proxy.fault = () => undefined
    const records = makeEvents(20)
    const bad = fixtures.makeEvent(20, { timestamp: 'never' })
    const { sink, report } = await makeSink()
    await sink.ship(toBatch([...records.slice(0, 7), bad, ...records.slice(7)]), never)
    expect(await storedOf([...records, bad])).toEqual(uuidsOf(records))
    expect(report.buried).toEqual(['cannot_parse_datetime'])
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

  test('does not tell the password in what it reports', async () => {
    const url = `http://somebody:hunter2@127.0.0.1:1/${database}`
    const { sink, report } = await makeSink({ CLICKHOUSE_URL: url })
    const stop = new AbortController()
    const said: string[] = []
    report.retried = (reason, message) => {
      said.push(reason, message)
      stop.abort()
    }
    const shipping = sink.ship(toBatch(makeEvents(1)), stop.signal)
    expect(shipping).rejects.toThrow()
    await shipping.catch(() => {})
    await sink.close()
    expect(said[0]).toBe('unreachable')
    expect(said.join()).not.toContain('hunter2')
  })

  test('is over at once when the signal aborts', async () => {
    const { sink, clickhouse } = await makeSink()
    const stop = new AbortController()
    proxy.fault = (statement) => {
      if (!isInsert(statement)) return undefined
      stop.abort(new Error('enough'))
      return 'hang'
    }
    expect(sink.ship(toBatch(makeEvents(1)), stop.signal)).rejects.toThrow('enough')
    proxy.fault = () => undefined
    await clickhouse.close()
  })
})

describe('settings that contradict each other', () => {
  test.each([
    ['a cluster without a server', { CLICKHOUSE_CLUSTER: 'c' }, 'CLICKHOUSE_URL is not'],
    [
      'a cluster that is none',
      { CLICKHOUSE_URL: 'http://host', CLICKHOUSE_CLUSTER: "c') --" },
      'is not a valid name of a cluster',
    ],
    [
      'a URL of another kind',
      { CLICKHOUSE_URL: 'tcp://host:9000' },
      'CLICKHOUSE_URL does not start with',
    ],
  ])('%s', (_, given, message) => {
    expect(() => parseClickHouseSettings(fixtures.makeSettings(given))).toThrow(message)
  })
})

test('no statement waits for longer than it may', async () => {
  proxy.fault = () => 'hang'
  const { clickhouse } = await createStore(settings({ CLICKHOUSE_TIMEOUT_MS: 100 }))
  expect(clickhouse.query('SELECT 1')).rejects.toMatchObject({ kind: 'unknown', code: undefined })
  expect(clickhouse.command('SELECT 1')).rejects.toMatchObject({ code: undefined })
  await Promise.allSettled([clickhouse.query('SELECT 1')])
  proxy.fault = () => undefined
})
