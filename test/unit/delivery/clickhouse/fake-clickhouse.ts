import type { StoredLine } from '../../../../src/core/record.ts'
import type { ClickHouse, Insert } from '../../../../src/delivery/clickhouse/client.ts'
import { ClickHouseFailure } from '../../../../src/delivery/clickhouse/failure.ts'

/** Faults of one insert. Those whose outcome the client does not learn end with `-unheard`. */
export const faults = [
  'refused',
  'stored-then-error',
  'half-stored-then-error',
  /** ClickHouse stores the token, and then renaming the part fails. */
  'token-without-part',
  'no-memory',
  'disk-full',
  'never-sent-unheard',
  'stored-unheard',
  'half-stored-unheard',
  /** It continues to run after the client's timeout. */
  'still-running-unheard',
  /**
   * It arrives after the client's first read-back, but before the second one and before a retry.
   */
  'late-unheard',
] as const

export type Fault = (typeof faults)[number] | 'none'
type Row = Record<string, unknown>

export type FakeClickHouse = ClickHouse & {
  rows(table: string): Row[]
  /** Tokens of all inserts that arrived, in order. */
  tokens: string[]
  /** Called at the start of every insert. */
  onInsert: (insert: Insert) => void
  /** Called at every query. */
  onQuery: (sql: string) => void
}

export type FakeOptions = {
  /** One for each insert; later inserts succeed. */
  plan?: Fault[]
  /** The error for a row; undefined if the server accepts it. */
  poison?: (row: Row, index: number) => ClickHouseFailure | undefined
}

/** A fake ClickHouse. It never merges, so a row that is stored twice is visible twice. */
export function createFakeClickHouse({ plan = [], poison }: FakeOptions = {}): FakeClickHouse {
  const tables = new Map<string, Row[]>()
  const known = new Set<string>()
  const running: Insert[] = []
  const late: Insert[] = []
  let looks = 0
  const rows = (table: string) => tables.get(table) ?? []

  function store({ table, token, lines }: Insert, share = 1): void {
    if (known.has(token)) return
    known.add(token)
    const parsed = lines.map(toRow)
    tables.set(table, [...rows(table), ...parsed.slice(0, Math.ceil(parsed.length * share))])
  }

  const fake: FakeClickHouse = {
    rows,
    tokens: [],
    onInsert() {},
    onQuery() {},
    async insert(insert, signal) {
      fake.onInsert(insert)
      signal.throwIfAborted()
      for (const arriving of late.splice(0)) store(arriving)
      looks = 0
      fake.tokens.push(insert.token)
      for (const [index, line] of insert.lines.entries()) {
        const failure = poison?.(toRow(line), index)
        if (failure) throw failure
      }
      suffer(plan.shift() ?? 'none', insert)
    },
    async query<T>(sql: string, signal?: AbortSignal): Promise<T[]> {
      fake.onQuery(sql)
      signal?.throwIfAborted()
      if (!sql.includes('system.processes')) return select(sql) as T[]
      if (looks > 0) for (const arriving of late.splice(0)) store(arriving)
      looks += 1
      const count = running.length
      for (const ending of running.splice(0)) store(ending)
      return [{ running: String(count) }] as T[]
    },
    async command() {},
    async close() {},
  }

  function suffer(fault: Fault, insert: Insert): void {
    if (fault === 'still-running-unheard') running.push(insert)
    if (fault === 'late-unheard') late.push(insert)
    if (fault === 'token-without-part') known.add(insert.token)
    if (fault === 'none' || fault.startsWith('stored')) store(insert)
    if (fault.startsWith('half-stored')) store(insert, 0.5)
    if (fault !== 'none') throw toFailure(fault)
  }

  /** Only the read-back. */
  function select(sql: string): Row[] {
    const [, table] = /FROM (\w+)/.exec(sql)!
    const [from, to] = [...sql.matchAll(/fromUnixTimestamp64Milli\((\d+)/g)].map(([, ms]) =>
      Number(ms),
    )
    const uuids = new Set([...sql.matchAll(/'([0-9a-f-]{36})'/g)].map(([, uuid]) => uuid))
    return rows(table!).filter((row) => {
      const ms = Date.parse(String(row.received_at))
      return uuids.has(String(row.uuid)) && ms >= from! && ms <= to!
    })
  }
  return fake
}

function toFailure(fault: Fault): ClickHouseFailure {
  if (fault.endsWith('-unheard')) return new ClickHouseFailure(fault)
  if (fault === 'no-memory') return new ClickHouseFailure(fault, { kind: 'large', code: 241 })
  if (fault === 'disk-full') return new ClickHouseFailure(fault, { kind: 'busy', code: 243 })
  return new ClickHouseFailure(fault, { kind: 'unknown', code: 49 })
}

function toRow(line: StoredLine): Row {
  const bytes = Buffer.alloc(line.lineBytes)
  line.copyLine(bytes, 0)
  return JSON.parse(bytes.toString())
}
