import { type Pointer, ptr, read, toArrayBuffer } from 'bun:ffi'
import { createQueryError, toQueryError } from './exceptions.ts'
import type { Native } from './native.ts'

/** A connection to chDB with settings and a current database of its own. Every call blocks. */
export type ChdbConnection = {
  /** Runs one statement. Throws QueryError. */
  query(sql: string, options?: QueryOptions): Result
  /** Classifies `sql` by chDB's own parser, without running it. */
  classify(sql: string): Classification
  /** Starts an INSERT whose rows follow; `sql` ends before FORMAT. Throws QueryError. */
  openInsert(sql: string, format: string, parameters?: Parameters): InsertStream
  close(): void
}

export type Parameters = Readonly<Record<string, string>>
type QueryOptions = { format?: string; parameters?: Parameters }

export type InsertStream = {
  /** Blocks while chDB is behind. False once the insert has failed; `finish` throws the reason. */
  append(bytes: Uint8Array): boolean
  /** Commits. Throws QueryError, also if chDB rejected rows and reports success. */
  finish(): Result
  /** Ends the insert. Rows that are not yet written as a part are dropped. */
  cancel(): void
}

export type Result = { bytes: Uint8Array; summary: Summary }

/** Counts of one statement. `readRows` and `readBytes` count reads from the storage. */
export type Summary = {
  readRows: number
  readBytes: number
  resultRows: number
  resultBytes: number
  writtenRows: number
  writtenBytes: number
  elapsedSeconds: number
}

/** `read` changes nothing; `write` changes tables; `control` concerns session, server or files. */
export type Classification = { statements: number; kind: StatementKind }
type StatementKind = 'read' | 'write' | 'control' | 'unknown'

/**
 * Opens chDB on the folder `path`; within a process once (60 ms), then only a connection (0.2 ms).
 */
export function openConnection(native: Native, path: string): ChdbConnection {
  const held = toText(['clickhouse', `--path=${path}`, ...quiet])
  const handle = native.chdb_connect(held.count, held.pointers)
  if (!handle) throw new Error(`the embedded ClickHouse cannot be opened on ${path}`)
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

/**
 * chDB logs to a terminal unless told otherwise, and after each insert it logs a fatal error that is
 * none: `current_thread contains invalid address`, because the insert's thread status is destroyed by
 * another thread than the one that created it. The first connection of a process decides.
 */
const quiet = ['--logger.console=false']

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

/** The arguments that all query functions share. They keep the texts alive during the call. */
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

/** NUL-terminated texts for C. They stay alive as long as `pointers` does. */
function toText(strings: readonly string[]) {
  const texts = strings.map((string) => encoder.encode(`${string}\0`))
  // An empty array has no address, so append an unused element.
  const pointers = BigUint64Array.from([...texts.map((text) => BigInt(ptr(text))), 0n])
  const lengths = BigUint64Array.from([...texts.map((text) => BigInt(text.length - 1)), 0n])
  alive.set(pointers, texts)
  return { pointers, lengths, count: strings.length }
}

const encoder = new TextEncoder()
const alive = new WeakMap<BigUint64Array, Uint8Array[]>()

/** Copies a result and frees it. Throws its error as QueryError. */
function takeResult(native: Native, result: Handle): Result {
  if (!result) throw createQueryError('UNKNOWN_EXCEPTION', 'chDB returned no result')
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
        throw createQueryError('UNKNOWN_EXCEPTION', 'chDB rejected rows and reported success')
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
