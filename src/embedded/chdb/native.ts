import { dlopen, FFIType } from 'bun:ffi'

/**
 * chDB's C interface, called directly: its calls block, each in a thread of our own. The package's
 * asynchronous calls run on Bun's shared thread pool instead, which has as many threads as the
 * machine has cores: two slow queries there would keep the journal's writes and syncs waiting until
 * they end.
 */
export type Native = ReturnType<typeof openLibrary>

/** Loads chDB's library. Rejects, in words for the operator, if it cannot be loaded. */
export async function loadNative(): Promise<Native> {
  try {
    const { resolveLibchdb } = await import('chdb/libchdb')
    const native = openLibrary(resolveLibchdb().path)
    // The server handles signals itself.
    native.chdb_set_signal_handlers_enabled(0)
    return native
  } catch (error) {
    throw new Error(`The embedded ClickHouse cannot be loaded: ${toFirstLine(error)}`)
  }
}

const { i32, u64, f64, ptr } = FFIType
const query = [ptr, ptr, u64, ptr, u64, ptr, ptr, ptr, ptr, u64] as const

/** Signatures as in chdb.h. `pipe` is a function of the C library, which chDB's library links. */
function openLibrary(path: string) {
  return dlopen(path, {
    chdb_set_signal_handlers_enabled: { args: [i32], returns: FFIType.void },
    chdb_connect: { args: [i32, ptr], returns: ptr },
    chdb_close_conn: { args: [ptr], returns: FFIType.void },
    chdb_classify_query_n: { args: [ptr, ptr, u64, ptr, u64, ptr], returns: i32 },
    chdb_query_with_params_n: { args: query, returns: ptr },
    chdb_destroy_query_result: { args: [ptr], returns: FFIType.void },
    chdb_result_error: { args: [ptr], returns: FFIType.cstring },
    chdb_result_buffer: { args: [ptr], returns: ptr },
    chdb_result_length: { args: [ptr], returns: u64 },
    chdb_result_elapsed: { args: [ptr], returns: f64 },
    chdb_result_rows_read: { args: [ptr], returns: u64 },
    chdb_result_bytes_read: { args: [ptr], returns: u64 },
    chdb_result_storage_rows_read: { args: [ptr], returns: u64 },
    chdb_result_storage_bytes_read: { args: [ptr], returns: u64 },
    chdb_result_rows_written: { args: [ptr], returns: u64 },
    chdb_result_bytes_written: { args: [ptr], returns: u64 },
    chdb_stream_insert_with_params_n: { args: query, returns: ptr },
    chdb_stream_insert_error: { args: [ptr], returns: FFIType.cstring },
    chdb_stream_append: { args: [ptr, ptr, u64], returns: i32 },
    chdb_stream_done: { args: [ptr], returns: ptr },
    chdb_stream_cancel_insert: { args: [ptr], returns: FFIType.void },
    chdb_destroy_insert_stream: { args: [ptr], returns: FFIType.void },
    pipe: { args: [ptr], returns: i32 },
  }).symbols
}

const toFirstLine = (error: unknown) =>
  error instanceof Error ? error.message.split('\n')[0] : String(error)
