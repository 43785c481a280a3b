import { type ClickHouseClient, ClickHouseLogLevel, createClient } from '@clickhouse/client'
import type { StoredLine } from '../../core/record.ts'
import { toFailure } from './failure.ts'

/**
 * Where events are stored: a server, or the engine in this process. Every rejection is a
 * ClickHouseFailure.
 */
export type ClickHouse = {
  /** Lines that are to be inserted next, as the same array. */
  stage?(lines: Insert['lines']): void
  /** Resolves once the server has proven that it took the lines under this token. */
  insert(insert: Insert, signal: AbortSignal): Promise<void>
  query<Row>(sql: string, signal?: AbortSignal): Promise<Row[]>
  command(sql: string, signal?: AbortSignal): Promise<void>
  /** Waits for what is under way: an engine must not be closed below an insert. */
  close(): Promise<void>
}

export type Insert = {
  table: string
  /** Deduplication token and query id: no two sets of rows that are both new ever share one. */
  token: string
  /** JSON lines, each ending with a newline. */
  lines: readonly StoredLine[]
}

/**
 * How an insert reads its rows. Objects, arrays and scalars go into string columns as they stand;
 * nothing is skipped in silence; however many months a block touches, it goes in; one thread parses
 * it, since the others have requests to serve; and copies, which are rare, are left for the merges
 * to find: to look for them in each insert costs half a microsecond a row.
 */
export const insertSettings = {
  async_insert: 0,
  insert_deduplicate: 1,
  max_insert_threads: 1,
  max_partitions_per_insert_block: 0,
  optimize_on_insert: 0,
  date_time_input_format: 'best_effort',
  input_format_allow_errors_num: 0,
  input_format_parallel_parsing: 0,
  input_format_skip_unknown_fields: 0,
  input_format_null_as_default: 1,
  input_format_json_read_objects_as_strings: 1,
  input_format_json_read_arrays_as_strings: 1,
  input_format_json_read_numbers_as_strings: 1,
  input_format_json_read_bools_as_strings: 1,
  input_format_json_throw_on_bad_escape_sequence: 0,
} as const satisfies Record<string, string | number>

export type ClientOptions = NonNullable<Parameters<typeof createClient>[0]>

/**
 * The vendor's client. It logs nothing: its failures reach whoever called, and its lines would hold
 * credentials.
 */
export function createVendorClient(options: ClientOptions): ClickHouseClient {
  return createClient({ ...options, log: { level: ClickHouseLogLevel.OFF } })
}

/** What came with a reply, beside its rows. */
export type ReplyFacts = { response_headers: Readonly<Record<string, unknown>> }

/**
 * What a server and the embedded engine have in common: all but the way rows go in. `assertProven`
 * throws where somebody else may have answered.
 */
export function toStatements(
  client: ClickHouseClient,
  assertProven: (facts: ReplyFacts) => void = () => {},
): Pick<ClickHouse, 'query' | 'command'> {
  const abortBy = (signal?: AbortSignal) => (signal ? { abort_signal: signal } : {})
  return {
    query: <Row>(sql: string, signal?: AbortSignal) =>
      worded(async () => {
        // One document, because it shows when its end is missing: rows on their own do not.
        const result = await client.query({ query: sql, format: 'JSON', ...abortBy(signal) })
        const { data } = await result.json<Row>()
        assertProven(result)
        return data
      }),
    command: (sql, signal) =>
      worded(async () => {
        assertProven(await client.command({ query: sql, ...abortBy(signal) }))
      }),
  }
}

/** Runs a call of the vendor's; what it throws becomes a ClickHouseFailure. */
export async function worded<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call()
  } catch (error) {
    throw toFailure(error)
  }
}
