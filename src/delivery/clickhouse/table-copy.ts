import type { Log } from '../../core/log.ts'
import type { ClickHouse } from './client.ts'
import { ClickHouseFailure } from './failure.ts'
import {
  type Dialect,
  type SchemaSettings,
  type Table,
  type TableSettings,
  toCreateTable,
  toLiteral,
} from './tables.ts'

export type Migration = {
  clickhouse: ClickHouse
  settings: SchemaSettings
  dialect: Dialect
  log: Log
}

/**
 * The table, the old table once it is renamed, the new table while it is filled and once it is
 * complete, and one month's copy.
 */
export type Rebuild = Migration & { table: Table } & Record<
    'name' | 'before' | 'next' | 'complete' | 'month',
    string
  >

/** ClickHouse refuses a second statement of the same id, also one of another node. */
const toQueryId = (table: string) => `spillway-migration/${table}`

export async function assertNotRunning({ clickhouse, settings, name }: Rebuild): Promise<void> {
  const cluster = settings.CLICKHOUSE_CLUSTER
  const own = 'system.processes'
  const processes = cluster === undefined ? own : `clusterAllReplicas('${cluster}', ${own})`
  const [found] = await clickhouse.query<{ running: number | string }>(
    `SELECT count() AS running FROM ${processes} WHERE query_id = '${toQueryId(name)}'`,
  )
  if (Number(found?.running ?? 0) === 0) return
  const text = `the table ${name} is being copied already; waiting for the end`
  throw new ClickHouseFailure(text, { kind: 'busy', code: isRunningCode, reason: 'migration' })
}

type Copying = { from: string; to: string; where: string }

export async function copyRows(
  { clickhouse, table }: Rebuild,
  { from, to, where }: Copying,
  operators: Operators,
): Promise<void> {
  const found = await clickhouse.query<{ name: string }>(
    `SELECT name FROM system.columns WHERE database = currentDatabase() AND table = ${toLiteral(from)}`,
  )
  // An old table lacks the columns of later migrations. The copy has their defaults.
  const existing = new Set(found.map(({ name }) => name))
  const own = Object.keys(table.columns).filter((name) => existing.has(name))
  const columns = [...own, ...operators.names].join(', ')
  const sql = `INSERT INTO ${to} (${columns}) SELECT ${columns} FROM ${from}
WHERE ${where} SETTINGS ${copySettings}`
  await clickhouse.command(sql, undefined, toQueryId(table.name))
}

/** The columns and table settings that the operator has added. */
export type Operators = { definitions: string[]; names: string[]; settings: TableSettings }

export async function readOperatorColumns({
  clickhouse,
  name,
  table,
}: Rebuild): Promise<Operators> {
  const own = [
    ...Object.keys(table.columns),
    ...Object.keys(table.aliases ?? {}),
    'first_wins',
  ].map(toLiteral)
  const ofTable = `database = currentDatabase() AND table = ${toLiteral(name)}`
  const columns = await clickhouse.query<Record<'name' | 'type' | 'kind' | 'value', string>>(
    `SELECT name, type, default_kind AS kind, default_expression AS value FROM system.columns
WHERE ${ofTable} AND name NOT IN (${own.join(', ')})`,
  )
  const [found] = await clickhouse.query<{ engine_full: string }>(
    `SELECT engine_full FROM system.tables WHERE ${ofTable}`,
  )
  const policy = /storage_policy = ('[^']*')/.exec(found?.engine_full ?? '')?.[1]
  const stored = columns.filter(({ kind }) => ['', 'DEFAULT'].includes(kind))
  return {
    definitions: columns.map((one) => `\`${one.name}\` ${one.type} ${one.kind} ${one.value}`),
    names: stored.map((one) => `\`${one.name}\``),
    settings: policy === undefined ? {} : { storage_policy: policy },
  }
}

export function create(job: Rebuild, name: string, operators: Operators): Promise<void> {
  const { definitions: added } = operators
  const settings = { ...job.settings.tableSettings, ...operators.settings }
  const options = { name, ttlDays: job.settings.EVENTS_TTL_DAYS, added, settings }
  return job.clickhouse.command(toCreateTable(job.table, job.dialect, options))
}

/** A server otherwise refuses to drop a table above 50 GB. */
export function drop({ clickhouse, dialect }: Rebuild, name: string): Promise<void> {
  const statement = `DROP TABLE IF EXISTS ${name}${dialect.onCluster}`
  return clickhouse.command(`${statement} SETTINGS max_table_size_to_drop = 0`)
}

/** A replica reads only the parts that it has fetched. */
export async function syncReplica({ clickhouse, settings }: Rebuild, name: string): Promise<void> {
  if (settings.CLICKHOUSE_CLUSTER === undefined) return
  await clickhouse.command(`SYSTEM SYNC REPLICA ${name}`)
}

/** QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING */
export const isRunningCode = 216

/** Blocks of up to 128 MiB, so that the memory of a copy does not depend on the table's size. */
const copySettings = Object.entries({
  max_execution_time: 0,
  max_threads: 2,
  max_insert_threads: 1,
  min_insert_block_size_rows: 250_000,
  min_insert_block_size_bytes: 128 * 1024 * 1024,
  max_partitions_per_insert_block: 0,
  // Of two blocks with equal rows both are copied.
  insert_deduplicate: 0,
  optimize_on_insert: 0,
})
  .map(([setting, value]) => `${setting} = ${value}`)
  .join(', ')
