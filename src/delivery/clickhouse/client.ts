import { type ClickHouseClient, ClickHouseLogLevel, createClient } from '@clickhouse/client'
import type { StoredLine } from '../../core/record.ts'
import { toFailure } from './failure.ts'

/** A ClickHouse server or the embedded ClickHouse. Every rejection is a ClickHouseFailure. */
export type ClickHouse = {
  /** Resolves once the server has proven that it received the lines under this token. */
  insert(insert: Insert, signal: AbortSignal): Promise<void>
  query<Row>(sql: string, signal?: AbortSignal): Promise<Row[]>
  /** With `longId`, the query id, it may take hours; a server refuses a second one of this id. */
  command(sql: string, signal?: AbortSignal, longId?: string): Promise<void>
  /** Waits for running calls: chDB must not be closed during an insert. */
  close(): Promise<void>
}

export type Insert = {
  table: string
  /** Deduplication token and query id. Two different sets of new rows never share one. */
  token: string
  /** JSON lines, each ending with a newline. */
  lines: readonly StoredLine[]
}

/**
 * Objects, arrays and scalars are stored in string columns unchanged. Nothing is skipped silently.
 * A block may touch any number of partitions. One thread parses it, because the other cores serve
 * requests. Merges remove duplicates (`optimize_on_insert` 0): looking for them in each insert
 * costs 0.5 µs a row, and they are rare.
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
 * The vendor's client without its log, which would contain credentials. Callers get every failure.
 */
export function createVendorClient(options: ClientOptions): ClickHouseClient {
  return createClient({ ...options, log: { level: ClickHouseLogLevel.OFF } })
}

/** The parts of a reply that prove who answered. */
export type ReplyFacts = { response_headers: Readonly<Record<string, unknown>> }

/**
 * Queries and commands, which work alike on a server and the embedded ClickHouse. `assertProven`
 * throws if the reply may not come from ClickHouse.
 */
export function toStatements(
  client: ClickHouseClient,
  assertProven: (facts: ReplyFacts) => void = () => {},
): Pick<ClickHouse, 'query' | 'command'> {
  const abortBy = (signal?: AbortSignal) => (signal ? { abort_signal: signal } : {})
  return {
    query: <Row>(sql: string, signal?: AbortSignal) =>
      withFailures(async () => {
        // One JSON document, because a truncated one does not parse; truncated rows would.
        const result = await client.query({ query: sql, format: 'JSON', ...abortBy(signal) })
        const { data } = await result.json<Row>()
        assertProven(result)
        return data
      }),
    command: (sql, signal, longId) =>
      withFailures(async () => {
        const id = longId === undefined ? {} : { query_id: longId }
        assertProven(await client.command({ query: sql, ...abortBy(signal), ...id }))
      }),
  }
}

/** Runs a call and converts its errors to ClickHouseFailure. */
export async function withFailures<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call()
  } catch (error) {
    throw toFailure(error)
  }
}
