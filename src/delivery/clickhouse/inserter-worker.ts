import { serveRequests } from '../../core/worker-thread.ts'
import {
  type ChdbConnection,
  type InsertStream,
  openConnection,
} from '../../embedded/chdb/connection.ts'
import { toQueryError } from '../../embedded/chdb/exceptions.ts'
import { loadNative } from '../../embedded/chdb/native.ts'
import { countWriteFailures } from '../../embedded/chdb/write-failures.ts'
import type { InsertReply, InsertStep } from './inserter.ts'

const loading = loadNative()
loading.catch(() => {}) // Each insert reports it.

let running: { connection: ChdbConnection; stream: InsertStream } | undefined

serveRequests<InsertStep, InsertReply>(
  async (step) => {
    const buffer = step.step === 'append' ? { buffer: step.buffer } : {}
    try {
      return { ...buffer, ...(await run(step)) }
    } catch (error) {
      const { code, message: text } = toQueryError(error)
      return { ...buffer, error: { code, text } }
    }
  },
  ({ buffer }) => (buffer ? [buffer] : []),
)

async function run(order: InsertStep): Promise<InsertReply> {
  switch (order.step) {
    case 'open':
      await open(order.path, order.statement)
      return {}
    case 'append':
      return { isWhole: append(order) }
    case 'finish':
      return { writeFailures: finish() }
    case 'cancel':
      cancel()
      return {}
  }
}

/**
 * Each insert opens a connection of its own (0.2 ms): a kept one holds on to the table after a failed
 * insert, and reloading that table would then wait for ever.
 */
async function open(path: string, statement: string): Promise<void> {
  cancel()
  const connection = openConnection(await loading, path)
  try {
    running = { connection, stream: connection.openInsert(statement, 'JSONEachRow') }
  } catch (error) {
    connection.close()
    throw error
  }
}

function append({
  buffer,
  offset,
  length,
}: {
  buffer: ArrayBuffer
  offset: number
  length: number
}) {
  return running?.stream.append(new Uint8Array(buffer, offset, length)) ?? false
}

/** Throws QueryError; if a row was rejected, none is stored. */
function finish(): number {
  const { connection, stream } = take()
  try {
    stream.finish()
    return countWriteFailures(connection)
  } finally {
    connection.close()
  }
}

function cancel(): void {
  if (!running) return
  const { connection, stream } = take()
  try {
    stream.cancel()
  } finally {
    connection.close()
  }
}

function take() {
  if (!running) throw new Error('no insert is open')
  const taken = running
  running = undefined
  return taken
}
