import { afterEach, beforeEach, expect, setDefaultTimeout, test } from 'bun:test'
import type { Log } from '../../../src/core/log.ts'
import type { ClickHouse } from '../../../src/delivery/clickhouse/client.ts'
import { ClickHouseFailure } from '../../../src/delivery/clickhouse/failure.ts'
import { createHttpClickHouse } from '../../../src/delivery/clickhouse/http.ts'
import { migrate } from '../../../src/delivery/clickhouse/schema.ts'
import { temporaryFolder } from '../../support/folder.ts'
import { oldRows, oldRowsQuery, unpackOldFolder } from '../../support/old-folder.ts'
import { makeEvents, never } from '../../unit/delivery/clickhouse/fixtures.ts'
import { type ClickHouseService, startClickHouse } from '../clickhouse.ts'

setDefaultTimeout(120_000)

const settings = { EVENTS_TTL_DAYS: 0 }
let folder: ReturnType<typeof temporaryFolder>
let service: ClickHouseService
let clickhouse: ClickHouse

// A ClickHouse server with the tables and rows of version 0.1.0.
beforeEach(async () => {
  folder = temporaryFolder()
  service = await startClickHouse({ path: unpackOldFolder(folder.path) })
  clickhouse = connect()
})
afterEach(async () => {
  await clickhouse.close()
  await service.stop()
  folder[Symbol.dispose]()
})

const connect = () => createHttpClickHouse({ url: service.url, timeoutMs: 10_000 })

/** Migrates like the sink: a failed attempt is repeated. */
async function migrateAsNode(one = connect()): Promise<void> {
  for (let attempt = 0; ; attempt += 1)
    try {
      await migrate(one, settings)
      return await one.close()
    } catch (error) {
      if (attempt > 50) throw error
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
}

async function countOf(table: string): Promise<number> {
  const [row] = await clickhouse.query<{ n: number | string }>(`SELECT count() AS n FROM ${table}`)
  return Number(row!.n)
}

const leftTables = `system.tables WHERE database = currentDatabase()
AND name LIKE '%migration\\_%'`

test('migrates a server from one node and from three at once', async () => {
  await Promise.all([migrateAsNode(), migrateAsNode(), migrateAsNode()])
  const found = await clickhouse.query<Record<string, string | number>>(oldRowsQuery)
  const counts = ['once', 'first', 'rows'] as const
  const rows = found.map((row) => ({
    ...row,
    ...Object.fromEntries(counts.map((key) => [key, Number(row[key])])),
  }))
  expect(rows).toEqual(oldRows as never)
  expect(await countOf(leftTables)).toBe(0)
})

const [newTable, month, rename, drop] = [
  /^CREATE TABLE IF NOT EXISTS events_migration_new/,
  /^CREATE TABLE IF NOT EXISTS events_migration_month/,
  /^RENAME TABLE events/,
  /^DROP TABLE IF EXISTS events_migration_old/,
]
const cases = [
  { step: 'creates the new table', statement: newTable, end: 'goes on' },
  { step: 'creates the new table', statement: newTable, end: 'is interrupted' },
  { step: 'creates the copy of a month', statement: month, end: 'is interrupted' },
  { step: 'renames the tables', statement: rename, end: 'goes on' },
  { step: 'renames the tables', statement: rename, end: 'is interrupted' },
  { step: 'drops the old table', statement: drop, end: 'goes on' },
]

test.each(cases)(
  'loses and leaves nothing if a node $step after another has migrated, and $end',
  async ({ statement, end }) => {
    const node = connect()
    const { command } = node
    const lines = makeEvents(20)
    let state: 'early' | 'late' | 'interrupted' = 'early'
    node.command = async (...given) => {
      if (state === 'late' && end === 'is interrupted') {
        state = 'interrupted'
        throw new ClickHouseFailure('interrupted', { kind: 'busy' })
      }
      if (state === 'early' && statement.test(given[0])) {
        state = 'late'
        await migrateAsNode()
        await clickhouse.insert({ table: 'events', token: crypto.randomUUID(), lines }, never)
      }
      await command(...given)
    }
    await migrateAsNode(node)
    expect(state).not.toBe('early')
    expect(await countOf('events FINAL')).toBe(oldRows[0]!.once + lines.length)
    expect(await countOf(leftTables)).toBe(0)
  },
)

test('describes every column, and gives dead letters a source', async () => {
  await migrateAsNode()
  const columns = `system.columns WHERE database = currentDatabase() AND table IN
    ('events', 'recordings', 'link_events', 'dead_letters', 'persons', 'person_distinct_ids', 'sessions')`
  expect(await countOf(columns)).toBeGreaterThan(80)
  expect(await countOf(`${columns} AND comment = ''`)).toBe(0)
  const tables = `system.tables WHERE database = currentDatabase() AND comment != ''`
  expect(await countOf(tables)).toBe(7)
  expect(await countOf('dead_letters WHERE source != protocol')).toBe(0)
  expect(await countOf('persons')).toBeGreaterThan(0)
  expect(await countOf('sessions')).toBeGreaterThanOrEqual(0)
})

test('keeps the rows that a node of the old version inserts meanwhile', async () => {
  const events = makeEvents(300)
  const node = connect()
  const { command } = node
  let inserted = 0
  // One insert before every statement of the migration, into the table of this name at that time.
  node.command = async (...given) => {
    const lines = events.slice(inserted, inserted + 5)
    if (lines.length > 0) {
      inserted += lines.length
      await clickhouse.insert({ table: 'events', token: crypto.randomUUID(), lines }, never)
    }
    await command(...given)
  }
  await migrateAsNode(node)
  expect(inserted).toBeGreaterThan(100)
  expect(await countOf('events FINAL')).toBe(oldRows[0]!.once + inserted)
})

test('keeps columns that the operator has added', async () => {
  await clickhouse.command("ALTER TABLE events ADD COLUMN country String DEFAULT 'ch'")
  await clickhouse.command('ALTER TABLE events ADD COLUMN day Date MATERIALIZED toDate(timestamp)')
  await clickhouse.command(
    `INSERT INTO events SELECT * REPLACE (generateUUIDv4() AS uuid, 'de' AS country)
FROM events LIMIT 9`,
  )
  const condition = "events WHERE country = 'de' AND day > '2000-01-01'"
  expect(await countOf(condition)).toBe(9)
  await migrateAsNode()
  expect(await countOf(condition)).toBe(9)
})

// The embedded ClickHouse has no replicas. This shows the order and form of the statements.
test('migrates a cluster by statements for all of its nodes', async () => {
  const said: string[] = []
  const node = connect()
  const { command, query } = node
  node.query = (sql) => query(sql.replace(/clusterAllReplicas\('c', ([\w.]+)\)/, '$1'))
  node.command = async (sql, signal, longId) => {
    said.push(sql)
    if (sql.startsWith('SYSTEM SYNC REPLICA')) return
    const alone = sql.replace(' ON CLUSTER `c`', '').replace('ReplicatedR', 'R')
    await command(alone.replace(', replicated_', ', non_replicated_'), signal, longId)
  }
  await migrate(node, { ...settings, CLICKHOUSE_CLUSTER: 'c' })
  await node.close()
  for (const sql of said)
    if (/^(CREATE|DROP|RENAME)/.test(sql)) expect(sql).toContain(' ON CLUSTER `c`')
  expect(await countOf('events FINAL')).toBe(oldRows[0]!.once)
  const lastOf = (start: string) => said.findLastIndex((sql) => sql.startsWith(start))
  expect(lastOf('SYSTEM SYNC REPLICA events')).toBeGreaterThan(lastOf('RENAME TABLE events '))
})

test('keeps the old table, and says so, if the disk has too little space', async () => {
  const said: object[] = []
  const log: Log = { debug() {}, info() {}, warn() {}, error: (fields) => void said.push(fields) }
  const small: ClickHouse = {
    ...clickhouse,
    async query<Row>(sql: string) {
      const rows = await clickhouse.query<Row>(sql)
      return sql.includes('free_space') ? rows.map((row) => ({ ...row, free: 10 })) : rows
    },
  }
  await migrate(small, settings, log)
  expect(said).toMatchObject([
    { table: 'events', freeBytes: 10, neededBytes: expect.any(Number) },
    { table: 'recordings' },
    { table: 'link_events' },
    { table: 'dead_letters' },
  ])
  expect(await countOf('events')).toBe(oldRows[0]!.rows)
  // The next start has space.
  await migrateAsNode()
  expect(await countOf('events FINAL')).toBe(oldRows[0]!.once)
})
