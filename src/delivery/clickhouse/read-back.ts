import type { StoredRecord } from '../../core/record.ts'
import { splitRecords } from '../split-records.ts'
import type { ClickHouse } from './client.ts'
import type { TableName } from './tables.ts'

export type ReadBack = {
  /** Resolves once no insert of this journal runs on the server. Its outcome is final then. */
  settle(signal: AbortSignal): Promise<void>
  /** The rows that the table does not hold. */
  findMissing(rows: Rows, signal: AbortSignal): Promise<StoredRecord[]>
}

type Rows = { table: TableName; records: readonly StoredRecord[] }

export type ReadBackOptions = {
  clickhouse: ClickHouse
  /** The start of the names of all inserts of this journal. */
  insertPrefix: string
  cluster: string | undefined
  /** An insert that runs longer on the server is killed. */
  killAfterMs: number
  /** Rejects when the signal aborts. */
  sleep(ms: number, signal: AbortSignal): Promise<void>
  now(): number
}

/**
 * 2000 rows keep the query below 80 KB; ClickHouse accepts 256 KiB. The lines are parsed for their
 * identities: 2 MiB block the thread for 10 ms.
 */
const limitsOfQuery = { recordsMax: 2000, bytesMax: 2 * 1024 * 1024 }
const pollMs = [20, 50, 100, 250, 500, 1000] as const

/**
 * Determines the outcome of inserts that did not end cleanly. Rejections are ClickHouseFailures.
 */
export function createReadBack(options: ReadBackOptions): ReadBack {
  const { clickhouse, cluster, now } = options
  const processes =
    cluster === undefined
      ? 'system.processes'
      : `clusterAllReplicas('${cluster}', system.processes)`
  const kill = cluster === undefined ? 'KILL QUERY' : `KILL QUERY ON CLUSTER '${cluster}'`
  const names = ['query_id', "Settings['insert_deduplication_token']"]
  const isOurs = names.map((name) => `startsWith(${name}, '${options.insertPrefix}/')`).join(' OR ')

  async function settle(signal: AbortSignal): Promise<void> {
    const startMs = now()
    let wasKilled = false
    for (let poll = 0; ; poll += 1) {
      const [row] = await clickhouse.query<{ running: string | number }>(
        `SELECT count() AS running FROM ${processes} WHERE ${isOurs}`,
        signal,
      )
      if (Number(row?.running) === 0) return
      if (!wasKilled && now() - startMs > options.killAfterMs) {
        wasKilled = true
        // Optional: a server that refuses it still ends the insert by its own time limit.
        await clickhouse.command(`${kill} WHERE ${isOurs} ASYNC`, signal).catch(() => {})
      }
      await options.sleep(pollMs[Math.min(poll, pollMs.length - 1)]!, signal)
    }
  }

  async function findMissing({ table, records }: Rows, signal: AbortSignal) {
    // A replica answers from the parts it has fetched, and the insert may have gone to another
    // replica.
    if (cluster !== undefined)
      await clickhouse.command(`SYSTEM SYNC REPLICA ${table} LIGHTWEIGHT`, signal)
    const missing: StoredRecord[] = []
    for (const part of splitRecords(records, limitsOfQuery)) {
      const sql = toQuery(table, part)
      const stored = sql === undefined ? [] : await clickhouse.query<Stored>(sql, signal)
      const known = new Set(stored.map((row) => toIdentity(table, row)))
      missing.push(...part.filter(({ line }) => !known.has(identityOf(table, line))))
    }
    return missing
  }
  return { settle, findMissing }
}

type Stored = Readonly<Record<string, unknown>>

/**
 * The columns that identify a row. The uuid alone does not: a client may give one uuid to two
 * events of different users, and the chunks of a recording share one.
 */
const identities: Record<TableName, readonly string[]> = {
  events: ['uuid', 'project', 'source', 'event', 'distinct_id'],
  recordings: ['uuid', 'project', 'session_id', 'distinct_id', 'chunk'],
  link_events: ['uuid', 'project_id', 'event_type', 'event_id'],
  dead_letters: ['uuid'],
}

function toIdentity(table: TableName, row: Stored): string {
  return JSON.stringify(identities[table].map((column) => String(row[column] ?? '')))
}

const decoder = new TextDecoder()

/** Empty for a line that is not JSON: such a row is not stored. */
function identityOf(table: TableName, line: Uint8Array): string {
  try {
    const row = JSON.parse(decoder.decode(line)) as Record<string, unknown>
    return toIdentity(table, { ...row, uuid: String(row.uuid).toLowerCase() })
  } catch {
    return ''
  }
}

/** Undefined if no row has a valid uuid, since then none can be stored. */
function toQuery(table: TableName, records: readonly StoredRecord[]): string | undefined {
  const uuids = records.map((record) => record.head().uuid).filter((uuid) => uuidShape.test(uuid))
  if (uuids.length === 0) return undefined
  const times = records.map(({ receivedMs }) => receivedMs)
  const range = [Math.min(...times), Math.max(...times)].map(
    (ms) => `fromUnixTimestamp64Milli(${Math.trunc(ms)}, 'UTC')`,
  )
  return `SELECT ${identities[table].join(', ')} FROM ${table}
WHERE received_at BETWEEN ${range.join(' AND ')} AND uuid IN ('${uuids.join("','")}')`
}

const uuidShape = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i
