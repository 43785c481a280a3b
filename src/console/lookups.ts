import type { ClickHouseReader } from './clickhouse.ts'

/** Rows of ClickHouse, for who follows an event. All queries are bounded in rows and time. */
export type StoredRow = {
  table: keyof typeof tables
  kind: 'event' | 'recording' | 'link'
  uuid: string
  received_ms: number
  columns: Record<string, unknown>
}

/** A row of `dead_letters`. */
export type LetterRow = {
  uuid: string
  project: string
  protocol: string
  stage: string
  reason: string
  detail: string
  received_ms: number
  ip: string
  raw: string
}

type Table = { kind: StoredRow['kind']; ids: readonly string[]; large: string }

/** The columns by which a person looks, and the one that may be large. */
const tables = {
  events: { kind: 'event', ids: ['distinct_id'], large: 'properties' },
  link_events: { kind: 'link', ids: ['visitor_id', 'event_id'], large: 'event_attributes' },
  recordings: { kind: 'recording', ids: ['distinct_id', 'session_id'], large: 'snapshot_items' },
} as const satisfies Record<string, Table>

const rowsMax = 50
/** A person reads no more of one column. */
const largeBytesMax = 65_536

export async function findRows(
  clickhouse: ClickHouseReader,
  { uuids, id }: { uuids: readonly string[]; id: string | undefined },
): Promise<StoredRow[]> {
  const names = Object.keys(tables) as (keyof typeof tables)[]
  const asked = names.flatMap((table) => [
    ...(uuids.length > 0
      ? [select(clickhouse, table, { where: 'uuid IN {ids:Array(UUID)}', ids: toArray(uuids) })]
      : []),
    ...(id === undefined
      ? []
      : [select(clickhouse, table, { where: toIdsClause(table), ids: id })]),
  ])
  const rows = (await Promise.all(asked)).flat()
  const unique = new Map(rows.map((row) => [`${row.table} ${row.uuid} ${row.received_ms}`, row]))
  return [...unique.values()].sort((a, b) => b.received_ms - a.received_ms).slice(0, rowsMax)
}

const toArray = (uuids: readonly string[]) => `[${uuids.map((uuid) => `'${uuid}'`).join(',')}]`

const toIdsClause = (table: keyof typeof tables) =>
  tables[table].ids.map((column) => `${column} = {ids:String}`).join(' OR ')

async function select(
  clickhouse: ClickHouseReader,
  table: keyof typeof tables,
  { where, ids }: { where: string; ids: string },
): Promise<StoredRow[]> {
  const { kind, large } = tables[table]
  const sql = `SELECT * REPLACE (substring(${large}, 1, ${largeBytesMax}) AS ${large}),
    toUnixTimestamp64Milli(received_at) AS received_ms_
  FROM ${table} WHERE ${where} ORDER BY received_at DESC LIMIT ${rowsMax}`
  const rows = await clickhouse.query<Record<string, unknown>>(sql, { ids })
  return rows.map(({ received_ms_, ...columns }) => {
    return { table, kind, uuid: String(columns.uuid), received_ms: Number(received_ms_), columns }
  })
}

/** The columns of a dead letter, as the functions of this file return them. */
export const letterColumns = `uuid, project, protocol, stage, reason, detail,
  toUnixTimestamp64Milli(received_at) AS received_ms, ip, raw`

/** Dead letters of this uuid, or whose event names the id. Their text has no index: the newest first. */
export function findLetters(clickhouse: ClickHouseReader, id: string): Promise<LetterRow[]> {
  const sql = `SELECT ${letterColumns} FROM dead_letters FINAL
  WHERE received_at > now() - INTERVAL 30 DAY
    AND (toString(uuid) = lower({id:String}) OR position(raw, {id:String}) > 0)
  ORDER BY received_at DESC LIMIT ${rowsMax}`
  return clickhouse.query<LetterRow>(sql, { id })
}

/** The dead letters of requests that were received in these milliseconds. */
export async function findLettersAt(
  clickhouse: ClickHouseReader,
  receivedMs: readonly number[],
): Promise<LetterRow[]> {
  if (receivedMs.length === 0) return []
  const sql = `SELECT ${letterColumns} FROM dead_letters FINAL
  WHERE toUnixTimestamp64Milli(received_at) IN {times:Array(Int64)}
    AND received_at BETWEEN fromUnixTimestamp64Milli({from:Int64}) AND fromUnixTimestamp64Milli({to:Int64})
  ORDER BY received_at DESC LIMIT ${4 * rowsMax}`
  return await clickhouse.query<LetterRow>(sql, {
    times: `[${receivedMs.join(',')}]`,
    from: Math.min(...receivedMs),
    to: Math.max(...receivedMs),
  })
}

/** Which of these uuids a table holds. */
export async function findStoredUuids(
  clickhouse: ClickHouseReader,
  uuids: readonly string[],
): Promise<Set<string>> {
  if (uuids.length === 0) return new Set()
  const clause = 'WHERE uuid IN {ids:Array(UUID)}'
  const parts = Object.keys(tables).map((table) => `SELECT uuid FROM ${table} ${clause}`)
  const rows = await clickhouse.query<{ uuid: string }>(parts.join(' UNION ALL '), {
    ids: toArray(uuids),
  })
  return new Set(rows.map(({ uuid }) => uuid))
}
