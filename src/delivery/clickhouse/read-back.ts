import type { StoredRecord } from '../../core/record.ts'
import type { ClickHouse } from './client.ts'
import type { TableName } from './tables.ts'

export type ReadBack = {
  /**
   * Resolves once no insert of this journal runs on the server any more: its outcome is then final.
   */
  settle(signal: AbortSignal): Promise<void>
  /** Those of the rows that the table does not hold. */
  findMissing(rows: Rows, signal: AbortSignal): Promise<StoredRecord[]>
}

type Rows = { table: TableName; records: readonly StoredRecord[] }

export type ReadBackOptions = {
  clickhouse: ClickHouse
  journalId: string
  cluster: string | undefined
  /** How long an insert may go on running before we ask the server to end it. */
  patienceMs: number
  /** Rejects when the signal aborts. */
  sleep(ms: number, signal: AbortSignal): Promise<void>
  now(): number
}

/** A query text of up to 80 KB, of the 256 KiB that a server takes. */
const rowsPerQueryMax = 2000
/**
 * Lines are parsed to learn what a row is called; this much of them holds up the thread for 10 ms.
 */
const bytesPerQueryMax = 2 * 1024 * 1024
const pollMs = [20, 50, 100, 250, 500, 1000] as const

/**
 * What became of inserts whose end we did not see. Both functions reject with a ClickHouseFailure.
 */
export function createReadBack(options: ReadBackOptions): ReadBack {
  const { clickhouse, cluster, now } = options
  const processes =
    cluster === undefined
      ? 'system.processes'
      : `clusterAllReplicas('${cluster}', system.processes)`
  const kill = cluster === undefined ? 'KILL QUERY' : `KILL QUERY ON CLUSTER '${cluster}'`
  const names = ['query_id', "Settings['insert_deduplication_token']"]
  const isOurs = names.map((name) => `startsWith(${name}, '${options.journalId}/')`).join(' OR ')

  async function settle(signal: AbortSignal): Promise<void> {
    const startMs = now()
    let wasKilled = false
    for (let poll = 0; ; poll += 1) {
      const [row] = await clickhouse.query<{ running: string | number }>(
        `SELECT count() AS running FROM ${processes} WHERE ${isOurs}`,
        signal,
      )
      if (Number(row?.running) === 0) return
      if (!wasKilled && now() - startMs > options.patienceMs) {
        wasKilled = true
        // A courtesy: a server that refuses it still ends the insert by its own time limit.
        await clickhouse.command(`${kill} WHERE ${isOurs} ASYNC`, signal).catch(() => {})
      }
      await options.sleep(pollMs[Math.min(poll, pollMs.length - 1)]!, signal)
    }
  }

  async function findMissing({ table, records }: Rows, signal: AbortSignal) {
    // A replica answers from what it has fetched; the insert may have gone to another one.
    if (cluster !== undefined)
      await clickhouse.command(`SYSTEM SYNC REPLICA ${table} LIGHTWEIGHT`, signal)
    const missing: StoredRecord[] = []
    for (const part of toParts(records)) {
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
 * What makes a row itself, beside others of its table: a client may give one uuid to two events of
 * different users, and the chunks of a recording share theirs.
 */
const identities: Record<TableName, readonly string[]> = {
  events: ['uuid', 'project', 'event', 'distinct_id'],
  recordings: ['uuid', 'project', 'session_id', 'chunk'],
  link_events: ['uuid', 'project_id', 'event_type', 'event_id'],
  dead_letters: ['uuid'],
}

function toIdentity(table: TableName, row: Stored): string {
  return JSON.stringify(identities[table].map((column) => String(row[column] ?? '')))
}

const decoder = new TextDecoder()

/** Undefined for a line that is no JSON: such a row is not stored. */
function identityOf(table: TableName, line: Uint8Array): string {
  try {
    const row = JSON.parse(decoder.decode(line)) as Record<string, unknown>
    return toIdentity(table, { ...row, uuid: String(row.uuid).toLowerCase() })
  } catch {
    return ''
  }
}

/** Undefined where none of the rows can be stored, because none has a uuid that is one. */
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

function* toParts(records: readonly StoredRecord[]): Generator<StoredRecord[]> {
  let part: StoredRecord[] = []
  let bytes = 0
  for (const record of records) {
    if (
      part.length === rowsPerQueryMax ||
      (bytes > 0 && bytes + record.lineBytes > bytesPerQueryMax)
    ) {
      yield part
      part = []
      bytes = 0
    }
    part.push(record)
    bytes += record.lineBytes
  }
  if (part.length > 0) yield part
}
