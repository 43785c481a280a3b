import { toFailure } from './failure.ts'
import {
  assertNotRunning,
  copyRows,
  create,
  drop,
  isRunningCode,
  type Migration,
  type Operators,
  type Rebuild,
  readOperatorColumns,
  syncReplica,
} from './table-copy.ts'
import { type TableName, tables, toLiteral } from './tables.ts'

/**
 * Migration 2: partitions by the month of receipt, and the row received first stays.
 *
 * Each table of the old shape is copied month by month, renamed, compared with its copy, and
 * dropped. Meanwhile queries see the old table, and events wait in the journal. The next step
 * follows from the tables that exist, so the migration goes on after an interruption at any point,
 * and nodes that run it at once repeat work at most:
 * - A month is copied into a table of its own and replaces the month of the new table as a whole.
 * - Rows that another node inserts into the old table after their month was copied are found by the
 *   comparison. The old table is dropped only after it.
 *
 * Resolves with false if a table has to keep its shape, for the reason that the log says.
 */
export async function partitionByReceipt(migration: Migration): Promise<boolean> {
  if (!(await hasOneShard(migration))) return false
  let isComplete = true
  for (const table of tables)
    isComplete = (await rebuild({ ...migration, ...toNames(table.name), table })) && isComplete
  return isComplete
}

const toNames = (name: TableName) => ({
  name,
  before: `${name}_migration_old`,
  next: `${name}_migration_new`,
  complete: `${name}_migration_complete`,
  month: `${name}_migration_month`,
})

/**
 * Whether tables of a rebuild exist. A node that was late, and was interrupted, leaves them after another
 * node has recorded the migration; the table itself may then be one of them.
 */
export async function hasUnfinishedRebuild({ clickhouse }: Migration): Promise<boolean> {
  const names = tables.flatMap(({ name }) => Object.values(toNames(name)).slice(1)).map(toLiteral)
  const [found] = await clickhouse.query<{ n: number | string }>(
    `SELECT count() AS n FROM system.tables
WHERE database = currentDatabase() AND name IN (${names.join(', ')})`,
  )
  return Number(found?.n ?? 0) > 0
}

async function rebuild(job: Rebuild): Promise<boolean> {
  const { name, before, next, complete, month, clickhouse, dialect } = job
  const rename = (...pairs: string[]) =>
    clickhouse.command(`RENAME TABLE ${pairs.join(', ')}${dialect.onCluster}`)
  const shapes = await readShapes(job)
  if (shapes.get(name) === 'old') {
    // An interruption after the first rename.
    if (shapes.has(complete)) {
      await (shapes.has(next) ? drop(job, complete) : rename(`${complete} TO ${next}`))
      return rebuild(job)
    }
    if (!(await hasSpace(job))) return false
    await copyMonths(job)
    // Another node may have been faster. The copy is then one of the new table.
    if ((await readShapes(job)).get(name) !== 'old') return rebuild(job)
    // Only one node can take the copy: the statement of another one fails at its first step, before
    // it has renamed the table, which would be the new one.
    await rename(`${next} TO ${complete}`, `${name} TO ${before}`, `${complete} TO ${name}`)
    return rebuild(job)
  }
  const left = [complete, next, before].find((one) => shapes.has(one))
  // An interruption between the renames.
  if (!shapes.has(name) && left !== undefined) {
    await rename(`${left} TO ${name}`)
    return rebuild(job)
  }
  if (shapes.has(before)) {
    await insertMissing(job)
    await drop(job, before)
    job.log.info({ table: name }, 'migration: the table is partitioned by month of receipt')
  }
  for (const one of [next, complete, month]) if (shapes.has(one)) await drop(job, one)
  return true
}

/** Rows cannot be copied on several shards through one connection. */
async function hasOneShard({ clickhouse, settings, log }: Migration): Promise<boolean> {
  const cluster = settings.CLICKHOUSE_CLUSTER
  if (cluster === undefined) return true
  const macro = /^\{(.+)\}$/.exec(cluster)?.[1]
  const name = macro === undefined ? toLiteral(cluster) : `getMacro(${toLiteral(macro)})`
  const [found] = await clickhouse.query<{ shards: number | string }>(
    `SELECT uniqExact(shard_num) AS shards FROM system.clusters WHERE cluster = ${name}`,
  )
  const shards = Number(found?.shards ?? 1)
  if (shards <= 1) return true
  const text = 'migration: the tables of a cluster with several shards keep their old partitions'
  log.warn({ cluster, shards }, `${text}; create and fill the new tables by hand`)
  return false
}

/** The tables that exist. A table of the old shape does not have the version `first_wins`. */
async function readShapes(job: Rebuild): Promise<Map<string, 'old' | 'current'>> {
  const names = [job.name, job.before, job.next, job.complete, job.month].map(toLiteral)
  const found = await job.clickhouse.query<{ name: string; engine_full: string }>(
    `SELECT name, engine_full FROM system.tables
WHERE database = currentDatabase() AND name IN (${names.join(', ')})`,
  )
  const shapeOf = (engine: string) => (/\bfirst_wins\)/.test(engine) ? 'current' : 'old')
  return new Map(found.map((one) => [one.name, shapeOf(one.engine_full)]))
}

/** The copy stands beside the old table until it is complete. */
async function hasSpace({ clickhouse, name, next, log }: Rebuild): Promise<boolean> {
  const partsOf = (one: string) =>
    `system.parts WHERE active AND database = currentDatabase() AND table = ${toLiteral(one)}`
  const [found] = await clickhouse.query<Record<'bytes' | 'copied' | 'free', number | string>>(
    `SELECT (SELECT sum(bytes_on_disk) FROM ${partsOf(name)}) AS bytes,
(SELECT sum(bytes_on_disk) FROM ${partsOf(next)}) AS copied,
(SELECT min(free_space) FROM system.disks
  WHERE name IN (SELECT disk_name FROM ${partsOf(name)})) AS free`,
  )
  const bytes = Number(found?.bytes ?? 0)
  const neededBytes = Math.ceil((bytes - Number(found?.copied ?? 0)) * spaceFactor)
  const freeBytes = Number(found?.free ?? 0)
  if (bytes === 0 || freeBytes >= neededBytes) return true
  const text = 'migration: not enough disk space to copy the table; it keeps its old partitions'
  log.error(
    { table: name, neededBytes, freeBytes },
    `${text} until the server starts with enough space`,
  )
  return false
}

async function copyMonths(job: Rebuild): Promise<void> {
  const { name, next, log } = job
  const operators = await readOperatorColumns(job)
  await create(job, next, operators)
  const months = await readMonths(job, name)
  const copied = new Map((await readMonths(job, next)).map(({ month, rows }) => [month, rows]))
  const totalRows = months.reduce((sum, { rows }) => sum + rows, 0)
  let doneRows = 0
  for (const { month, rows } of months) {
    log.info({ table: name, month, rows, doneRows, totalRows }, 'migration: copying a month')
    if (copied.get(month) !== rows) await copyMonth(job, { month, rows }, operators)
    doneRows += rows
  }
}

type Month = { month: number; rows: number }

async function readMonths(job: Rebuild, from: string): Promise<Month[]> {
  await syncReplica(job, from)
  const rows = await job.clickhouse.query<Record<keyof Month, number | string>>(
    `SELECT toYYYYMM(received_at) AS month, count() AS rows FROM ${from}
GROUP BY month ORDER BY month`,
  )
  return rows.map((row) => ({ month: Number(row.month), rows: Number(row.rows) }))
}

async function copyMonth(job: Rebuild, { month, rows }: Month, operators: Operators) {
  const { clickhouse, name, next, dialect } = job
  await assertNotRunning(job)
  try {
    // The reply to the copy of an earlier attempt may have been lost.
    if (!(await isCopied(job, { month, rows }))) {
      await drop(job, job.month)
      await create(job, job.month, {
        ...operators,
        // Merged rows are not in the old table any more, so merges are synced to the disk.
        settings: {
          ...operators.settings,
          [dialect.deduplicationWindow]: 0,
          min_rows_to_fsync_after_merge: 1,
        },
      })
      await copyRows(job, { from: name, to: job.month, where: toRange(month) }, operators)
    }
    await syncReplica(job, job.month)
    await clickhouse.command(`ALTER TABLE ${next} REPLACE PARTITION ${month} FROM ${job.month}`)
  } catch (error) {
    const { code } = toFailure(error)
    if (code !== undefined && code !== isRunningCode) await discard(job, month)
    throw error
  }
}

async function isCopied(job: Rebuild, { month, rows }: Month): Promise<boolean> {
  if (!(await readShapes(job)).has(job.month)) return false
  const [only, ...others] = await readMonths(job, job.month)
  return only?.month === month && only.rows === rows && others.length === 0
}

/** The rows of a broken part count, and the embedded ClickHouse leaves such parts. */
async function discard(job: Rebuild, month: number): Promise<void> {
  await drop(job, job.month)
  await job.clickhouse.command(`ALTER TABLE ${job.next} DROP PARTITION ${month}`)
}

/** Compares the old table with the new one, and inserts the rows that the new one lacks. */
async function insertMissing(job: Rebuild): Promise<void> {
  const { clickhouse, name, before, table, log } = job
  for (const one of [before, name]) await syncReplica(job, one)
  const operators = await readOperatorColumns(job)
  const identity = `sipHash128(${table.orderBy})`
  const summary = (from: string) =>
    `(SELECT toUnixTimestamp(toStartOfHour(received_at)) AS hour, count() AS rows,
groupBitXor(sipHash64(${table.orderBy})) AS digest FROM ${from} GROUP BY hour)`
  const hours = await clickhouse.query<Record<'hour' | 'most', number | string>>(
    `SELECT a.hour AS hour, greatest(a.rows, b.rows) AS most FROM ${summary(before)} AS a
LEFT JOIN ${summary(name)} AS b ON a.hour = b.hour
WHERE a.rows != b.rows OR a.digest != b.digest ORDER BY hour`,
  )
  for (const { hour, most } of hours)
    for (const slice of toSlices(Number(hour), Number(most))) {
      const stored = `SELECT ${identity} FROM ${name} WHERE ${slice}`
      const where = `${slice} AND ${identity} NOT IN (${stored})`
      await copyRows(job, { from: before, to: name, where }, operators)
    }
  if (hours.length > 0)
    log.info({ table: name, hours: hours.length }, 'migration: compared the hours that differ')
}

/** The conditions of the parts of an hour, each with few enough rows for a set in memory. */
function toSlices(hour: number, rows: number): string[] {
  const [from, to] = [hour, hour + 3600].map((second) => `toDateTime64(${second}, 3, 'UTC')`)
  const count = Math.ceil(rows / rowsPerSetMax)
  return Array.from(
    { length: count },
    (_, slice) =>
      `received_at >= ${from} AND received_at < ${to} AND sipHash64(uuid) % ${count} = ${slice}`,
  )
}

/** Indexes and one more column; merges of the copy need space too. */
const spaceFactor = 1.3

const rowsPerSetMax = 2_000_000

function toRange(month: number): string {
  const [year, index] = [Math.floor(month / 100), (month % 100) - 1]
  const [from, to] = [Date.UTC(year, index), Date.UTC(year, index + 1)].map(
    (ms) => `toDateTime64(${ms / 1000}, 3, 'UTC')`,
  )
  return `received_at >= ${from} AND received_at < ${to}`
}
