import { type Pointer, ptr, read, toArrayBuffer } from 'bun:ffi'
import { QueryError, refusal, toQueryError } from './exceptions.ts'
import type { Native } from './native.ts'

/** One connection to the engine: settings, current database and parameters are its own. Every call blocks. */
export type Connection = {
  /** Runs one statement. Throws QueryError. */
  query(sql: string, options?: QueryOptions): Result
  /** Says how the engine's own parser understands `sql`, without running it. */
  classify(sql: string): Classification
  /** Starts an INSERT whose rows come later, `sql` ending before FORMAT. Throws QueryError. */
  openInsert(sql: string, format: string, parameters?: Parameters): InsertStream
  close(): void
}

export type Parameters = Readonly<Record<string, string>>
export type QueryOptions = { format?: string; parameters?: Parameters }

export type InsertStream = {
  /** Waits while the engine is behind. False once the insert has failed: `finish` says why. */
  append(bytes: Uint8Array): boolean
  /** Commits. Throws QueryError, also where the engine refused rows and says OK all the same. */
  finish(): Result
  /** Ends it without committing what is not yet a part. */
  cancel(): void
}

export type Result = { bytes: Uint8Array; summary: Summary }

/** What a statement read and wrote. `readRows` and `readBytes` are those of the storage. */
export type Summary = {
  readRows: number
  readBytes: number
  resultRows: number
  resultBytes: number
  writtenRows: number
  writtenBytes: number
  elapsedSeconds: number
}

/** `read` leaves no trace; `write` changes tables; `control` is for the session, the server or files; the rest `unknown`. */
export type Classification = { statements: number; kind: StatementKind }
export type StatementKind = 'read' | 'write' | 'control' | 'unknown'

/** Opens the engine on `path`, or joins it where this process has it open already. 60 ms the first time, then 0.2 ms. */
export function openConnection(native: Native, path: string): Connection {
  const held = toText(['clickhouse', `--path=${path}`])
  const handle = native.chdb_connect(2, held.pointers)
  if (!handle) throw new Error(`The embedded ClickHouse could not be opened on ${path}`)
  const connection = read.ptr(handle as Pointer, 0) as Pointer

  return {
    query(sql, { format = 'TabSeparated', parameters = {} } = {}) {
      const call = toCall({ sql, format, parameters })
      return takeResult(native, native.chdb_query_with_params_n(connection, ...call))
    },
    classify: (sql) => classify(native, connection, sql),
    openInsert: (sql, format, parameters = {}) =>
      openInsert(native, connection, toCall({ sql, format, parameters })),
    close: () => native.chdb_close_conn(handle),
  }
}

type Handle = Pointer | bigint | null
type Call = [
  sql: Uint8Array,
  sqlBytes: number,
  format: Uint8Array,
  formatBytes: number,
  names: BigUint64Array,
  nameBytes: BigUint64Array,
  values: BigUint64Array,
  valueBytes: BigUint64Array,
  count: number,
]

/** The arguments that every kind of query shares. Holds the texts for as long as the call lasts. */
function toCall(query: { sql: string; format: string; parameters: Parameters }): Call {
  const sql = encoder.encode(`${query.sql}\0`)
  const format = encoder.encode(`${query.format}\0`)
  const names = toText(Object.keys(query.parameters))
  const values = toText(Object.values(query.parameters))
  return [
    sql,
    sql.length - 1,
    format,
    format.length - 1,
    names.pointers,
    names.lengths,
    values.pointers,
    values.lengths,
    names.count,
  ]
}

/** Texts for C. They live as long as the array of pointers that refers to them. */
function toText(strings: readonly string[]) {
  const texts = strings.map((string) => encoder.encode(`${string}\0`))
  // An empty array has no address: one unused element gives it one.
  const pointers = BigUint64Array.from([...texts.map((text) => BigInt(ptr(text))), 0n])
  const lengths = BigUint64Array.from([...texts.map((text) => BigInt(text.length - 1)), 0n])
  alive.set(pointers, texts)
  return { pointers, lengths, count: strings.length }
}

const encoder = new TextEncoder()
const alive = new WeakMap<BigUint64Array, Uint8Array[]>()

/** Copies a result and frees it. Throws what it ended with. */
function takeResult(native: Native, result: Handle): Result {
  if (!result) throw new QueryError(1002, 'The engine gave no result')
  try {
    const error = native.chdb_result_error(result)
    if (error) throw toQueryError(String(error))
    const length = Number(native.chdb_result_length(result))
    const buffer = native.chdb_result_buffer(result)
    const bytes = new Uint8Array(length)
    if (length > 0) bytes.set(new Uint8Array(toArrayBuffer(buffer as Pointer, 0, length)))
    return { bytes, summary: toSummary(native, result) }
  } finally {
    native.chdb_destroy_query_result(result)
  }
}

function toSummary(native: Native, result: Handle): Summary {
  return {
    readRows: Number(native.chdb_result_storage_rows_read(result)),
    readBytes: Number(native.chdb_result_storage_bytes_read(result)),
    resultRows: Number(native.chdb_result_rows_read(result)),
    resultBytes: Number(native.chdb_result_bytes_read(result)),
    writtenRows: Number(native.chdb_result_rows_written(result)),
    writtenBytes: Number(native.chdb_result_bytes_written(result)),
    elapsedSeconds: native.chdb_result_elapsed(result),
  }
}

/** By chdb_query_class: reads, writes, writes outside any database, control; unknown is 4. */
const kinds: readonly StatementKind[] = ['read', 'write', 'control', 'control', 'unknown']

function classify(native: Native, connection: Pointer, sql: string): Classification {
  const text = encoder.encode(`${sql}\0`)
  // struct { uint32 struct_size, statement_count, flags, query_class }
  const report = new Uint32Array([16, 0, 0, 4])
  native.chdb_classify_query_n(connection, text, text.length - 1, null, 0, report)
  return { statements: report[1]!, kind: kinds[report[3]!] ?? 'unknown' }
}

function openInsert(native: Native, connection: Pointer, call: Call): InsertStream {
  const stream = native.chdb_stream_insert_with_params_n(connection, ...call)
  const error = native.chdb_stream_insert_error(stream)
  if (error) {
    native.chdb_destroy_insert_stream(stream)
    throw toQueryError(String(error))
  }
  const free = () => native.chdb_destroy_insert_stream(stream)
  let isWhole = true
  return {
    append(bytes) {
      if (bytes.length > 0 && native.chdb_stream_append(stream, bytes, bytes.length) !== 0)
        isWhole = false
      return isWhole
    },
    finish() {
      try {
        const result = takeResult(native, native.chdb_stream_done(stream))
        if (isWhole) return result
        throw refusal('UNKNOWN_EXCEPTION', 'The engine refused rows and said OK')
      } finally {
        free()
      }
    },
    cancel() {
      native.chdb_stream_cancel_insert(stream)
      free()
    },
  }
}
