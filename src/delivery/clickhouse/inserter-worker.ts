import { serveRequests } from '../../core/worker-thread.ts'
import { openConnection } from '../../embedded/chdb/connection.ts'
import { toQueryError } from '../../embedded/chdb/exceptions.ts'
import { loadNative, type Native } from '../../embedded/chdb/native.ts'
import { countWriteFailures } from '../../embedded/chdb/write-failures.ts'
import type { InsertOrder, InsertReply } from './inserter.ts'

/** chDB parses one chunk while the next is appended. */
const chunkBytes = 1024 * 1024

const loading = loadNative()
loading.catch(() => {}) // Each insert reports it.

serveRequests<InsertOrder, InsertReply>(
  async (order) => ({ buffer: order.buffer, outcome: await insert(order) }),
  ({ buffer }) => [buffer],
)

async function insert(order: InsertOrder): Promise<InsertReply['outcome']> {
  try {
    return { writeFailures: insertRows(await loading, order) }
  } catch (error) {
    const { code, message: text } = toQueryError(error)
    return { code, text }
  }
}

/**
 * Throws QueryError; if a row was rejected, none is stored. Each insert opens a connection of its
 * own (0.2 ms): a kept one holds on to the table after a failed insert, and reloading that table
 * would then wait for ever.
 */
function insertRows(native: Native, order: InsertOrder): number {
  const { path, statement, buffer, offset, length } = order
  const rows = new Uint8Array(buffer, offset, length)
  const connection = openConnection(native, path)
  try {
    const stream = connection.openInsert(statement, 'JSONEachRow')
    let at = 0
    while (at < rows.length && stream.append(rows.subarray(at, at + chunkBytes))) at += chunkBytes
    stream.finish()
    return countWriteFailures(connection)
  } finally {
    connection.close()
  }
}
