import { openConnection } from '../../embedded/chdb/connection.ts'
import { asQueryError } from '../../embedded/chdb/exceptions.ts'
import { loadNative, type Native } from '../../embedded/chdb/native.ts'
import { countWriteFailures } from '../../embedded/chdb/write-failures.ts'
import type { FromInserter, ToInserter } from './inserter-messages.ts'

/** A thread that inserts, and blocks while it does. */
declare const self: Worker

/** The engine parses one piece while the next is handed over. */
const pieceBytes = 1024 * 1024

const loading = loadNative()
loading.catch(() => {}) // Every insert says so.

self.onmessage = async ({ data: order }: MessageEvent<ToInserter>) => {
  const { room } = order
  const reply: FromInserter = { room, outcome: await insert(order) }
  self.postMessage(reply, [room])
}

async function insert(order: ToInserter): Promise<FromInserter['outcome']> {
  try {
    return { writeFailures: insertRows(await loading, order) }
  } catch (error) {
    const { code, message: text } = asQueryError(error)
    return { code, text }
  }
}

/**
 * Throws QueryError; where a row was refused, none is stored. Each insert has a connection of its own (0.2 ms): one that
 * is kept holds on to the table after an insert that failed, and whoever reloads the table waits for ever.
 */
function insertRows(native: Native, order: ToInserter): number {
  const { path, statement, room, offset, length } = order
  const rows = new Uint8Array(room, offset, length)
  const connection = openConnection(native, path)
  try {
    const stream = connection.openInsert(statement, 'JSONEachRow')
    let at = 0
    while (at < rows.length && stream.append(rows.subarray(at, at + pieceBytes))) at += pieceBytes
    stream.finish()
    return countWriteFailures(connection)
  } finally {
    connection.close()
  }
}
