import type { Config } from '../../config/config.ts'
import type { ClickHouse } from './client.ts'
import { firstTables, type Table, tableOf } from './tables.ts'

/**
 * Tables of events, link events and recordings keep rows for EVENTS_TTL_DAYS, or for ever if it is
 * 0.
 */
export type SchemaSettings = Pick<Config, 'CLICKHOUSE_CLUSTER' | 'EVENTS_TTL_DAYS'>

/**
 * Migrates the database to the schema of this version. Every statement may run twice, also on two
 * nodes at once, so an interrupted migration is run again. Rejects with a ClickHouseFailure.
 */
export async function migrate(clickhouse: ClickHouse, settings: SchemaSettings): Promise<void> {
  const dialect = toDialect(settings.CLICKHOUSE_CLUSTER)
  await clickhouse.command(toCreate(migrationsTable, dialect))
  const applied = await clickhouse.query<{ version: number }>(
    `SELECT version FROM ${migrationsTable.name}`,
  )
  const isApplied = new Set(applied.map(({ version }) => Number(version)))
  for (const [index, statements] of migrations.entries()) {
    const version = index + 1
    if (isApplied.has(version)) continue
    for (const statement of statements(dialect)) await clickhouse.command(statement)
    await clickhouse.command(`INSERT INTO ${migrationsTable.name} (version) VALUES (${version})`)
  }
  for (const name of retained)
    await setRetention(clickhouse, { name, dialect, days: settings.EVENTS_TTL_DAYS })
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

/** The differences between one server and a cluster. */
type Dialect = { onCluster: string; engine: string; deduplication: string }

function toDialect(cluster: string | undefined): Dialect {
  if (cluster === undefined)
    return {
      onCluster: '',
      engine: 'ReplacingMergeTree',
      deduplication: 'non_replicated_deduplication_window = 1000',
    }
  return {
    onCluster: ` ON CLUSTER ${quoted(cluster)}`,
    engine: 'ReplicatedReplacingMergeTree',
    deduplication: 'replicated_deduplication_window = 1000',
  }
}

/** Migration n is at index n - 1. A released migration never changes. */
const migrations: readonly ((dialect: Dialect) => string[])[] = [
  (dialect) => firstTables.map((table) => toCreate({ ...table, version: 'received_at' }, dialect)),
]

type NewTable = Omit<Table, 'name'> & { name: string; version: string }

const migrationsTable: NewTable = {
  name: 'schema_migrations',
  columns: ['version UInt32', `applied_at DateTime64(3, 'UTC') DEFAULT now64(3)`],
  partitionBy: 'tuple()',
  orderBy: 'version',
  version: 'applied_at',
}

/** Records leave the journal after their insert, so an insert must be synced to the disk. */
const durability = 'fsync_after_insert = 1, fsync_part_directory = 1'

function toCreate(table: NewTable, { onCluster, engine, deduplication }: Dialect): string {
  return `CREATE TABLE IF NOT EXISTS ${table.name}${onCluster} (${table.columns.join(', ')})
ENGINE = ${engine}(${table.version})
PARTITION BY ${table.partitionBy}
ORDER BY (${table.orderBy})
${table.ttl ? `TTL ${table.ttl}` : ''}
SETTINGS ${durability}, ${deduplication}`
}

const retained = ['events', 'recordings', 'link_events'] as const

/**
 * Retention counts from the time of receipt, so that a client whose clock is wrong loses no events.
 * The table is altered only if the setting has changed, because the change rewrites parts.
 */
async function setRetention(
  clickhouse: ClickHouse,
  { name, dialect, days }: { name: string; dialect: Dialect; days: number },
): Promise<void> {
  const [table] = await clickhouse.query<{ engine_full: string }>(
    `SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = '${name}'`,
  )
  const current = / TTL (.+?) SETTINGS /.exec(table?.engine_full ?? '')?.[1]
  const wanted = days > 0 ? `toDateTime(received_at) + toIntervalDay(${days})` : undefined
  if (current === wanted) return
  const change = wanted === undefined ? 'REMOVE TTL' : `MODIFY TTL ${wanted}`
  await clickhouse.command(`ALTER TABLE ${name}${dialect.onCluster} ${change}`)
}

const quoted = (name: string) => `\`${name.replace(/[\\`]/g, '\\$&')}\``

/** Table settings of the embedded ClickHouse. On a server they are the operator's choice. */
export async function tuneTables(clickhouse: Pick<ClickHouse, 'query' | 'command'>): Promise<void> {
  const tables = await clickhouse.query<{ name: string; engine_full: string }>(
    `SELECT name, engine_full FROM system.tables WHERE database = currentDatabase()
AND name IN ('${Object.values(tableOf).join("','")}')`,
  )
  for (const { name, engine_full } of tables) {
    const missing = embeddedSettings.filter(([setting]) => !engine_full.includes(setting))
    if (missing.length === 0) continue
    const changes = missing.map(([setting, value]) => `${setting} = ${value}`)
    await clickhouse.command(`ALTER TABLE ${name} MODIFY SETTING ${changes.join(', ')}`)
  }
}

const embeddedSettings = [
  // Otherwise a table with a large broken part, such as a failed merge leaves, does not load.
  ['max_suspicious_broken_parts', 1_000_000],
  ['max_suspicious_broken_parts_bytes', 1e15],
  // More parts per merge, so that a row is rewritten less often: a third less CPU for merges under
  // load.
  ['merge_selector_base', 16],
] as const
