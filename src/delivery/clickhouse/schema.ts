import { linkColumns, recordingColumns } from '../../core/event.ts'
import { type Log, silentLog } from '../../core/log.ts'
import type { ClickHouse } from './client.ts'
import { comments, firstWinsComment } from './comments.ts'
import { toFailure } from './failure.ts'
import { hasUnfinishedRebuild, partitionByReceipt } from './partition-by-receipt.ts'
import { setPropertyColumns } from './property-columns.ts'
import type { Migration } from './table-copy.ts'
import {
  type NewTable,
  quoted,
  type SchemaSettings,
  type TableName,
  type TableSettings,
  tableOf,
  tables,
  toCreate,
  toCreateTable,
  toDefinition,
  toDialect,
  toLiteral,
  toTtl,
} from './tables.ts'
import { toCreateView, views } from './views.ts'

/**
 * Migrates the database to the schema of this version. Every statement may run twice, also on two
 * nodes at once, so an interrupted migration is run again. Rejects with a ClickHouseFailure.
 */
export async function migrate(
  clickhouse: ClickHouse,
  settings: SchemaSettings,
  log: Log = silentLog,
): Promise<void> {
  const dialect = toDialect(settings.CLICKHOUSE_CLUSTER)
  const migration: Migration = { clickhouse, settings, dialect, log }
  await clickhouse.command(toCreate(migrationsTable, dialect))
  const applied = await clickhouse.query<{ version: number }>(
    `SELECT version FROM ${migrationsTable.name}`,
  )
  const isApplied = new Set(applied.map(({ version }) => Number(version)))
  if (await hasUnfinishedRebuild(migration)) isApplied.delete(rebuildVersion)
  for (const [index, run] of migrations.entries()) {
    const version = index + 1
    if (isApplied.has(version) || !(await run(migration))) continue
    // No VALUES: with a standard input that has data, chDB refuses a statement that has its own.
    await clickhouse.command(`INSERT INTO ${migrationsTable.name} (version) SELECT ${version}`)
  }
  for (const name of retained) await setRetention(migration, name)
  await setColumns(migration)
}

/** Creates the database through a connection to another database. */
export async function createDatabase(
  clickhouse: ClickHouse,
  { name, cluster }: { name: string; cluster: string | undefined },
): Promise<void> {
  await clickhouse.command(
    `CREATE DATABASE IF NOT EXISTS ${quoted(name)}${toDialect(cluster).onCluster}`,
  )
}

/**
 * Migration n is at index n - 1. Each one also runs on a new database, whose tables migration 1
 * creates as they are today. Resolves with false if it has to be run again at the next start.
 */
const migrations: readonly ((migration: Migration) => Promise<boolean>)[] = [
  createTables,
  partitionByReceipt,
  addWarnings,
  (migration) => unlessRefused(migration, addComments),
  (migration) => unlessRefused(migration, createViews),
  addBots,
]

const rebuildVersion = migrations.indexOf(partitionByReceipt) + 1

/** ACCESS_DENIED, SYNTAX_ERROR, NOT_IMPLEMENTED, UNKNOWN_FUNCTION: a retry would get the same. */
const refusedCodes = new Set([497, 62, 48, 46])

/**
 * For statements that no event needs: a user without the right to create views, or an older server,
 * must not keep events from being delivered.
 */
async function unlessRefused(
  migration: Migration,
  run: (migration: Migration) => Promise<boolean>,
): Promise<boolean> {
  try {
    return await run(migration)
  } catch (error) {
    const { code, message } = toFailure(error)
    if (code === undefined || !refusedCodes.has(code)) throw error
    const text = 'migration: ClickHouse refused comments, views or columns of properties'
    migration.log.warn(
      { reason: message },
      `${text}; events do not need them; the next start tries again`,
    )
    return false
  }
}

const setColumns = (migration: Migration) =>
  unlessRefused(migration, async () => {
    await setPropertyColumns(migration)
    return true
  })

async function createTables({ clickhouse, settings, dialect }: Migration): Promise<boolean> {
  const options = { ttlDays: settings.EVENTS_TTL_DAYS, settings: settings.tableSettings ?? {} }
  for (const table of tables) await clickhouse.command(toCreateTable(table, dialect, options))
  return true
}

/** Migration 3: the column for events that are stored otherwise than they were sent. */
async function addWarnings({ clickhouse, dialect }: Migration): Promise<boolean> {
  const [type] = recordingColumns.ingest_warnings
  const stored = await readComments(clickhouse)
  for (const name of ['recordings', 'link_events'] as const) {
    if (stored.has(`${name}.ingest_warnings`)) continue
    const column = `ADD COLUMN IF NOT EXISTS ingest_warnings ${type}`
    await clickhouse.command(`ALTER TABLE ${name}${dialect.onCluster} ${column}`)
  }
  return true
}

/** Migration 4: comments of tables and columns, and columns that are computed when they are read. */
async function addComments({ clickhouse, dialect }: Migration): Promise<boolean> {
  const stored = await readComments(clickhouse)
  for (const { name, columns, aliases = {} } of tables) {
    const { table, columns: texts } = comments[name]
    const added = Object.entries(aliases).filter(([column]) => !stored.has(`${name}.${column}`))
    const wanted = { ...pick(texts, Object.keys(columns)), first_wins: firstWinsComment }
    const commented = Object.entries(wanted).filter(
      ([column, text]) => stored.get(`${name}.${column}`) !== text,
    )
    const changes = [
      ...added.map(
        ([column, type]) => `ADD COLUMN IF NOT EXISTS ${toDefinition(column, type, texts[column])}`,
      ),
      ...commented.map(([column, text]) => `COMMENT COLUMN IF EXISTS ${column} ${toLiteral(text)}`),
      ...(stored.get(name) === table ? [] : [`MODIFY COMMENT ${toLiteral(table)}`]),
    ]
    if (changes.length === 0) continue
    await clickhouse.command(`ALTER TABLE ${name}${dialect.onCluster} ${changes.join(', ')}`)
  }
  return true
}

/**
 * The comments of tables (`events`) and columns (`events.uuid`). A table that is as it should be is
 * not altered: the embedded ClickHouse loses the definition of a table that it alters on a full disk.
 */
async function readComments(clickhouse: ClickHouse): Promise<Map<string, string>> {
  const names = tables.map(({ name }) => toLiteral(name)).join(', ')
  const found = await clickhouse.query<{ place: string; comment: string }>(
    `SELECT name AS place, comment FROM system.tables
WHERE database = currentDatabase() AND name IN (${names})
UNION ALL SELECT concat(table, '.', name) AS place, comment FROM system.columns
WHERE database = currentDatabase() AND table IN (${names})`,
  )
  return new Map(found.map(({ place, comment }) => [place, comment]))
}

const pick = (texts: Readonly<Record<string, string>>, names: readonly string[]) =>
  Object.fromEntries(names.map((name) => [name, texts[name]!]))

/** Migration 5: people and sessions. A table of the operator that has the name of a view stays. */
async function createViews({ clickhouse, dialect }: Migration): Promise<boolean> {
  for (const view of views) await clickhouse.command(toCreateView(view, dialect))
  return true
}

/** Migration 6: whether a robot opened the link. */
async function addBots(migration: Migration): Promise<boolean> {
  const { clickhouse, dialect } = migration
  const stored = await readComments(clickhouse)
  if (!stored.has('link_events.is_bot')) {
    const definition = toDefinition(
      'is_bot',
      linkColumns.is_bot[0],
      comments.link_events.columns.is_bot,
    )
    const change = `ADD COLUMN IF NOT EXISTS ${definition}`
    await clickhouse.command(`ALTER TABLE link_events${dialect.onCluster} ${change}`)
  }
  return unlessRefused(migration, addComments)
}

const migrationsTable: NewTable = {
  name: 'schema_migrations',
  definitions: ['version UInt32', `applied_at DateTime64(3, 'UTC') DEFAULT now64(3)`],
  partitionBy: 'tuple()',
  orderBy: 'version',
  version: 'applied_at',
}

const retained = ['events', 'recordings', 'link_events'] as const

/** The table is altered only if the setting has changed, because the change rewrites parts. */
async function setRetention(migration: Migration, name: TableName): Promise<void> {
  const { clickhouse, settings, dialect } = migration
  const [table] = await clickhouse.query<{ engine_full: string }>(
    `SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = '${name}'`,
  )
  const current = / TTL (.+?) SETTINGS /.exec(table?.engine_full ?? '')?.[1]
  const wanted = toTtl(settings.EVENTS_TTL_DAYS)
  if (current === wanted) return
  const change = wanted === undefined ? 'REMOVE TTL' : `MODIFY TTL ${wanted}`
  await clickhouse.command(`ALTER TABLE ${name}${dialect.onCluster} ${change}`)
}

/** Table settings of the embedded ClickHouse. On a server they are the operator's choice. */
export const embeddedSettings: TableSettings = {
  // Otherwise a table with a large broken part, such as a failed merge leaves, does not load.
  max_suspicious_broken_parts: 1_000_000,
  max_suspicious_broken_parts_bytes: 1e15,
  // More parts per merge, so that a row is rewritten less often: a third less CPU for merges under
  // load.
  merge_selector_base: 16,
}

/** Alters the tables that were created without the settings of the embedded ClickHouse. */
export async function tuneTables(clickhouse: Pick<ClickHouse, 'query' | 'command'>): Promise<void> {
  const found = await clickhouse.query<{ name: string; engine_full: string }>(
    `SELECT name, engine_full FROM system.tables WHERE database = currentDatabase()
AND name IN ('${Object.values(tableOf).join("','")}')`,
  )
  for (const { name, engine_full } of found) {
    const missing = Object.entries(embeddedSettings).filter(
      ([setting]) => !engine_full.includes(setting),
    )
    if (missing.length === 0) continue
    const changes = missing.map(([setting, value]) => `${setting} = ${value}`)
    await clickhouse.command(`ALTER TABLE ${name} MODIFY SETTING ${changes.join(', ')}`)
  }
}
