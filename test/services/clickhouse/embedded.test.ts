import {
  afterAll,
  beforeAll,
  beforeEach,
  describe,
  expect,
  setDefaultTimeout,
  test,
} from 'bun:test'
import { join } from 'node:path'
import type { StoredRecord } from '../../../src/core/record.ts'
import type { ClickHouse } from '../../../src/delivery/clickhouse/client.ts'
import { loadChdb } from '../../../src/delivery/clickhouse/embedded.ts'
import { createInserter } from '../../../src/delivery/clickhouse/inserter.ts'
import { migrate } from '../../../src/delivery/clickhouse/schema.ts'
import { toEmbeddedFolder } from '../../../src/delivery/clickhouse/settings.ts'
import { createClickHouseSink } from '../../../src/delivery/clickhouse/sink.ts'
import { createStore, type Store } from '../../../src/delivery/clickhouse/store.ts'
import { temporaryFolder } from '../../support/folder.ts'
import * as fixtures from '../../unit/delivery/clickhouse/fixtures.ts'

const { makeEvent, makeEvents, makeLink, makeRecording, never, toBatch, uuidsOf } = fixtures

// Each part on disk takes several syncs, and one test writes 200 parts.
setDefaultTimeout(60_000)

// One instance for this file: a process can open one data folder only.
const folder = temporaryFolder()
const midnight = new Date(fixtures.receivedMs).toISOString().replace('T', ' ').replace('Z', '')
const inserterThread = '../../../src/delivery/clickhouse/inserter-worker.ts'
const path = toEmbeddedFolder(folder.path)
const at = (offset: number) => new Date(fixtures.receivedMs + offset).toISOString()
const schema = { EVENTS_TTL_DAYS: 0 }
let store: Store
let clickhouse: ClickHouse

beforeAll(async () => {
  store = await createStore(fixtures.makeSettings({ dataDir: folder.path }))
  await store.prepare()
  clickhouse = store.clickhouse
})
afterAll(async () => {
  await clickhouse.close()
  folder[Symbol.dispose]()
})
beforeEach(async () => {
  for (const table of ['events', 'recordings', 'link_events', 'dead_letters'])
    await clickhouse.command(`TRUNCATE TABLE ${table}`)
})

function makeSink() {
  const ledger = fixtures.makeLedger()
  const report = fixtures.makeReport()
  const sink = createClickHouseSink({
    ...fixtures.instantly,
    ...{ clickhouse, prepare: store.prepare, cursors: ledger, report, now: Date.now },
    ...{ journalId: crypto.randomUUID(), cluster: undefined, killAfterMs: 1000 },
  })
  return { sink, ledger, report }
}

async function ship(records: readonly StoredRecord[]) {
  const { sink, report } = makeSink()
  await sink.ship(toBatch(records), never)
  return report
}

async function column<T>(table: string, expression: string): Promise<T[]> {
  const sql = `SELECT ${expression} AS value FROM ${table} ORDER BY received_at, value`
  return (await clickhouse.query<{ value: T }>(sql)).map(({ value }) => value)
}

const storedUuids = async (table = 'events') => (await column<string>(table, 'uuid')).sort()

describe('the embedded ClickHouse', () => {
  test('stores an event exactly as in its line', async () => {
    const properties = '{"big":12345678901234567890,"f":2.50,"s":"a\\u0000\\ud800","o":{"x":[1]}}'
    const event = makeEvent(0, { distinct_id: 'a\u0000b', event: 'überall 😀' })
    const line = new TextDecoder().decode(event.line).replace('{"offset":0}', () => properties)
    await ship([fixtures.withLine(event, line.trimEnd())])
    const [row] = await clickhouse.query<Record<string, unknown>>('SELECT * FROM events')
    expect(row).toMatchObject({
      ...{ project: 'p1', source: 'capture', event: 'überall 😀', distinct_id: 'a\u0000b' },
      ...{ timestamp: midnight, received_at: midnight },
      ...{ properties, user: '{"$set":{"plan":"x"}}', historical: false, library: 'web' },
    })
  })

  test('stores the snapshots of a recording, or a chunk of them, byte for byte', async () => {
    const piece = '[{"data":"\\ud83d'
    await ship([makeRecording(0), makeRecording(1, { chunk: 1, chunks: 2, snapshot_items: piece })])
    expect(await column('recordings', 'snapshot_items')).toEqual([
      '[{"type":2,"data":{"html":"<p>"}}]',
      piece,
    ])
  })

  test('stores a link event with the defaults of the contract', async () => {
    await ship([
      makeLink(0, { link_tags: ['a', 'b'], event_attributes: [1], is_bounce: null, city: null }),
      makeLink(1, { link_created_at: '2020-02-03T04:05:06.789Z', is_bounce: false }),
    ])
    const expressions = ['link_tags', 'event_attributes', 'is_bounce', 'city', 'link_created_at']
    const rows = await column<unknown[]>(
      'link_events',
      `[${expressions.map((e) => `toString(${e})`)}]`,
    )
    expect(rows.map((row) => row.map((value) => value))).toEqual([
      ["['a','b']", '[1]', 'true', '', null],
      ['[]', '', 'false', '', '2020-02-03 04:05:06.789'],
    ])
  })

  test('reports the error of an insert, and takes no memory for it', async () => {
    const inserter = createInserter({ path, onFree() {} })
    function* chunks() {
      yield expect.unreachable() as never
    }
    await expect(inserter.insert('INSERT INTO nowhere', chunks())).rejects.toMatchObject({
      code: 60,
      message: expect.stringContaining('UNKNOWN_TABLE'),
    })
    inserter.close()
  })

  test('stores no row of an insert that ends midway, and returns the memory of its chunks', async () => {
    const freed: ArrayBuffer[] = []
    const inserter = createInserter({ path, onFree: (room) => freed.push(room) })
    const row = (uuid: string) => Buffer.from(`{"uuid":"${uuid}","event":"midway"}\n`)
    const insert = (chunks: Iterable<Buffer>) =>
      inserter.insert('INSERT INTO events SETTINGS max_partitions_per_insert_block = 0', chunks)
    const own = (bytes: Buffer) => Buffer.from(new Uint8Array(bytes).buffer)
    function* failing() {
      for (let count = 0; count < 10; count += 1) yield own(row(crypto.randomUUID()))
      throw new Error('cannot copy')
    }
    await expect(insert(failing())).rejects.toThrow('cannot copy')
    expect(freed.length).toBe(10)
    const bad = [own(row(crypto.randomUUID())), own(Buffer.from('{"uuid":1,"event":[}\n'))]
    await expect(insert([...bad, ...bad.map(own)])).rejects.toMatchObject({ code: 27 })
    // Two at once run one after the other.
    const [first, second] = [crypto.randomUUID(), crypto.randomUUID()]
    await Promise.all([insert([own(row(first))]), insert([own(row(second))])])
    const rows = await clickhouse.query(
      "SELECT uuid FROM events WHERE event = 'midway' ORDER BY toString(uuid)",
    )
    expect(rows).toEqual([first, second].sort().map((uuid) => ({ uuid })))
    inserter.close()
  })

  test('starts another thread after the inserting one has ended', async () => {
    const script = join(folder.path, 'faulty-thread.ts')
    await Bun.write(script, "self.onmessage = () => { throw new Error('gone') }")
    const inserter = createInserter({ path, onFree() {}, script })
    const insert = () => inserter.insert('INSERT INTO nowhere', [Buffer.from(new ArrayBuffer(3))])
    await expect(insert()).rejects.toThrow('gone')
    await Bun.write(script, `import '${import.meta.resolve(inserterThread)}'`)
    await expect(insert()).rejects.toMatchObject({ code: 60 })
    inserter.close()
  })

  test('stores 200 months in one block', async () => {
    const events = Array.from({ length: 200 }, (_, month) =>
      makeEvent(month, { timestamp: new Date(Date.UTC(1990, month, 1)).toISOString() }),
    )
    const report = await ship(events)
    expect(await storedUuids()).toEqual(uuidsOf(events))
    expect(report.retries).toEqual([])
    const sql = "SELECT count() AS parts FROM system.parts WHERE active AND table = 'events'"
    expect(await clickhouse.query<{ parts: number }>(sql)).toEqual([{ parts: 1 }])
  })

  test.each<[string, 'events' | 'link_events' | 'recordings', typeof makeEvent]>([
    ['an event', 'events', makeEvent],
    ['a link event', 'link_events', (offset, row) => makeLink(offset, { event_id: 'e', ...row })],
    ['a recording', 'recordings', makeRecording],
  ])('keeps %s that was received first', async (_, table, make) => {
    const uuid = crypto.randomUUID()
    const lastYear = new Date(fixtures.receivedMs - 400 * 86_400_000).toISOString()
    // Received later, first, last, and in another partition.
    for (const user_agent of ['b', 'a', 'c']) {
      const offset = user_agent.charCodeAt(0)
      await ship([make(offset, { uuid, user_agent, received_at: at(offset) })])
    }
    await clickhouse.command(`OPTIMIZE TABLE ${table} FINAL`)
    expect(await column<string>(table, 'user_agent')).toEqual(['a'])
    await ship([make(0, { uuid, user_agent: 'before', received_at: lastYear })])
    await clickhouse.command(`OPTIMIZE TABLE ${table} FINAL`)
    expect(await column<string>(`${table} FINAL`, 'user_agent')).toEqual(['before'])
  })

  test('keeps events that differ in one part of their identity', async () => {
    const uuid = crypto.randomUUID()
    const other = { uuid: crypto.randomUUID() }
    const rows = [{}, other, { project: 'p2' }, { source: 'telemetry' }, { event: 'other' }]
    await ship([...rows, { distinct_id: 'u2' }].map((row, at) => makeEvent(at, { uuid, ...row })))
    await clickhouse.command('OPTIMIZE TABLE events FINAL')
    expect((await storedUuids()).length).toBe(rows.length + 1)
    const sql = `SELECT sorting_key FROM system.tables WHERE name = 'events'`
    const [found] = await clickhouse.query<{ sorting_key: string }>(sql)
    // A client can find another distinct_id with the same cityHash64.
    for (const name of ['source', 'distinct_id', 'uuid', 'event', 'project'])
      expect(found!.sorting_key.split(', ')).toContain(name)
  })

  test('stores rows of many megabytes', async () => {
    const events = [makeEvent(0), makeEvent(1, { properties: { a: 'x'.repeat(20_000_000) } })]
    await ship(events)
    expect(await column('events', 'length(properties) > 19000000')).toEqual([0, 1])
  })

  test('does not execute SQL inside a line', async () => {
    const events = makeEvents(3).map((event) => {
      const text = new TextDecoder().decode(event.line).trimEnd()
      const said = text.replace('{"offset"', '{\n\nDROP TABLE events;\n\n"quote\'": 1, "offset"')
      return fixtures.withLine(event, said)
    })
    await ship(events)
    expect(await storedUuids()).toEqual(uuidsOf(events))
  })

  test('dead-letters every kind of bad row, and stores its neighbours', async () => {
    const bad = [
      makeEvent(3, { uuid: 'nope' }),
      makeEvent(4, { timestamp: 'yesterday' }),
      makeEvent(5, { source: 'elsewhere' }),
      makeEvent(6, { historical: 'maybe' }),
      makeEvent(7, { unknown_column: 1 }),
      fixtures.withLine(makeEvent(8), '{"uuid":'),
      fixtures.withLine(makeEvent(9), 'nonsense'),
    ]
    const good = [...makeEvents(3), ...makeEvents(3, 11)]
    const report = await ship([...good.slice(0, 3), ...bad, ...good.slice(3)])
    expect(await storedUuids()).toEqual(uuidsOf(good))
    expect(await column('dead_letters', 'raw')).toEqual(
      bad.map(({ line }) => new TextDecoder().decode(line).trimEnd()),
    )
    expect(report.rejections.length).toBe(bad.length)
  })

  test('reads back the stored rows after a crash, and sends the rest', async () => {
    const uuid = crypto.randomUUID()
    const records = [
      ...makeEvents(5),
      makeEvent(5, { uuid, distinct_id: 'a' }),
      makeEvent(6, { uuid, distinct_id: 'b' }),
      makeRecording(7, { uuid, chunk: 0 }),
      makeRecording(8, { uuid, chunk: 1 }),
      makeLink(9),
    ]
    await ship(records.filter(({ offset }) => [1, 2, 5, 7].includes(offset)))
    const { sink, ledger } = makeSink()
    ledger.begin('clickhouse', { firstOffset: 0, lastOffset: 9, attempt: 'before' })
    await sink.resume(toBatch(records), never)
    await sink.resume(toBatch(records), never)
    const events = records.filter(({ kind }) => kind === 'event')
    expect(await storedUuids()).toEqual(uuidsOf(events))
    expect(await storedUuids('recordings')).toEqual([uuid, uuid])
    expect((await storedUuids('link_events')).length).toBe(1)
  })

  test('stores rows although their token is already remembered', async () => {
    const records = makeEvents(3)
    const { sink, ledger } = makeSink()
    await sink.ship(toBatch(records), never)
    // The state after a failed rename: the token is remembered, but the rows are missing.
    await clickhouse.command('DELETE FROM events WHERE 1 SETTINGS mutations_sync = 1')
    expect(await storedUuids()).toEqual([])
    ledger.begin('clickhouse', ledger.written[0]!)
    await sink.resume(toBatch(records), never)
    expect(await storedUuids()).toEqual(uuidsOf(records))
  })
})

describe('the schema', () => {
  const ttlOf = async (table: string) => {
    const sql = `SELECT engine_full FROM system.tables
      WHERE database = currentDatabase() AND name = '${table}'`
    const [row] = await clickhouse.query<{ engine_full: string }>(sql)
    return / TTL (.*) SETTINGS/.exec(row!.engine_full)?.[1]
  }

  test('can be migrated twice, by two nodes at once', async () => {
    await Promise.all([migrate(clickhouse, schema), migrate(clickhouse, schema)])
    const sql = 'SELECT version FROM schema_migrations FINAL ORDER BY version'
    expect(await clickhouse.query<{ version: number }>(sql)).toEqual([
      { version: 1 },
      { version: 2 },
      { version: 3 },
      { version: 4 },
      { version: 5 },
      { version: 6 },
    ])
  })

  test('completes an interrupted migration', async () => {
    await clickhouse.command('TRUNCATE TABLE schema_migrations')
    await clickhouse.command('DROP TABLE link_events')
    await migrate(clickhouse, schema)
    expect(await clickhouse.query('SELECT count() AS n FROM link_events')).toEqual([{ n: 0 }])
  })

  test('follows EVENTS_TTL_DAYS', async () => {
    const seen: (string | undefined)[] = []
    for (const ttlDays of [30, 30, 7, 0]) {
      await migrate(clickhouse, { EVENTS_TTL_DAYS: ttlDays })
      seen.push(await ttlOf('events'))
    }
    const days = (n: number) => `toDateTime(received_at) + toIntervalDay(${n})`
    expect(seen).toEqual([days(30), days(30), days(7), undefined])
  })

  test('follows EVENTS_COLUMNS, for rows from before too', async () => {
    const columns = async () => {
      const sql = `SELECT name, default_kind AS kind, comment FROM system.columns
        WHERE database = currentDatabase() AND table = 'events' AND startsWith(name, 'property_') ORDER BY name`
      const rows = await clickhouse.query<{ name: string; kind: string; comment: string }>(sql)
      return rows.map(({ name, kind, comment }) => `${name} ${kind} ${comment}`)
    }
    const properties = JSON.stringify({ $os: 'Linux', plan: 'scale' })
    await clickhouse.command('ALTER TABLE events ADD COLUMN property_own String')
    await clickhouse.command(
      `INSERT INTO events (uuid, event, properties) SELECT generateUUIDv4(), 'columns', '${properties}'`,
    )
    for (const EVENTS_COLUMNS of [
      ['$os', 'plan'],
      ['$os', 'plan'],
    ])
      await migrate(clickhouse, { EVENTS_TTL_DAYS: 0, EVENTS_COLUMNS })
    expect(await columns()).toEqual([
      'property_os MATERIALIZED EVENTS_COLUMNS: $os',
      'property_own  ',
      'property_plan MATERIALIZED EVENTS_COLUMNS: plan',
    ])
    const read = `SELECT property_os, property_plan FROM events WHERE event = 'columns'`
    expect(await clickhouse.query(read)).toEqual([{ property_os: 'Linux', property_plan: 'scale' }])
    await migrate(clickhouse, { EVENTS_TTL_DAYS: 0, EVENTS_COLUMNS: ['os'] })
    expect(await columns()).toEqual([
      'property_os MATERIALIZED EVENTS_COLUMNS: os',
      'property_own  ',
    ])
    await migrate(clickhouse, { EVENTS_TTL_DAYS: 0 })
    expect(await columns()).toEqual(['property_own  '])
  })

  test('syncs inserts, and remembers tokens', async () => {
    const sql = `SELECT name FROM system.tables WHERE database = currentDatabase()
      AND engine_full LIKE '%fsync_after_insert = 1, fsync_part_directory = 1%'
      AND engine_full LIKE '%non_replicated_deduplication_window = 1000%' ORDER BY name`
    const names = (await clickhouse.query<{ name: string }>(sql)).map(({ name }) => name)
    const tables = ['dead_letters', 'events', 'link_events', 'recordings', 'schema_migrations']
    expect(names).toEqual(tables)
  })

  test('uses ON CLUSTER and replicated engines on a cluster', async () => {
    const said: string[] = []
    const echo: ClickHouse = {
      ...clickhouse,
      query: async () => [],
      command: async (sql) => void said.push(sql),
    }
    await migrate(echo, { CLICKHOUSE_CLUSTER: 'c`1', EVENTS_TTL_DAYS: 9 })
    expect(said.filter((sql) => /^(CREATE|ALTER)/.test(sql)).length).toBe(22)
    for (const sql of said.filter((text) => text.startsWith('CREATE TABLE'))) {
      expect(sql).toContain(' ON CLUSTER `c\\`1` (')
      expect(sql).toContain('ENGINE = ReplicatedReplacingMergeTree(')
      expect(sql).toContain('replicated_deduplication_window = 1000')
      expect(sql).not.toContain('non_replicated')
    }
    for (const sql of said.filter((text) => /^(ALTER|CREATE VIEW)/.test(text))) {
      expect(sql).toContain(' ON CLUSTER `c\\`1` ')
    }
    expect(said).toContain(
      'ALTER TABLE events ON CLUSTER `c\\`1` MODIFY TTL toDateTime(received_at) + toIntervalDay(9)',
    )
  })
})

test('reports which setting to use if chDB cannot be loaded', async () => {
  const missing = () => Promise.reject(new Error("Cannot find module 'chdb/connection'"))
  await expect(loadChdb(missing)).rejects.toThrow(/cannot be loaded.*chdb.*set CLICKHOUSE_URL/)
})
