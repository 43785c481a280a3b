import { withTimeLimit } from '../../core/async.ts'
import { serveThread } from '../../core/worker-thread.ts'
import { type ChdbConnection, openConnection } from '../chdb/connection.ts'
import { loadNative } from '../chdb/native.ts'
import type { User } from './handler.ts'
import { createHandler } from './handler.ts'
import { createQueries } from './queries.ts'
import { type ChdbFacts, toErrorReply } from './reply.ts'
import type { Limits, Mode } from './settings.ts'

export type ServerThreadOptions = Limits & {
  port: number
  chdbPath: string
  mode: Mode
  concurrencyMax: number
  queueMax: number
  user: User
}

export type ServerThread = {
  options: ServerThreadOptions
  /** The port it listens on. */
  ready: number
  toThread: 'close'
  fromThread: 'closed'
}

let close: (() => Promise<void>) | undefined

serveThread<ServerThread>(async (options, post) => {
  try {
    const port = await start(options)
    return { ready: port, receive: () => void close?.().then(() => post('closed')) }
  } catch (error) {
    await close?.()
    throw error
  }
})

const kib = 1024
const mib = 1024 * kib
/** Time for ClickHouse to end a query by its own limit. */
const graceMs = 1_000

async function start(options: ServerThreadOptions): Promise<number> {
  const { chdbPath: path, mode, executionMsMax } = options
  const isReadOnly = mode === 'read-only'
  const native = await loadNative()
  const facts = withConnection(openConnection(native, path), readFacts)
  const queries = createQueries({ ...options, native, path, readMsMax: executionMsMax + graceMs })
  close = queries.close
  const sqlBytesMax = isReadOnly ? mib : 64 * mib
  const handler = createHandler({ ...options, queries, facts, sqlBytesMax, limits: options })
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: options.port,
    development: false,
    // In seconds, longer than a query may wait and run. Writers have no limit.
    idleTimeout: isReadOnly ? 255 : 0,
    maxRequestBodySize: isReadOnly ? sqlBytesMax + 64 * kib : 16 * 1024 * mib,
    fetch: handler,
    error: (error) => toErrorReply(error, { facts }),
  })
  close = async () => {
    const stopped = server.stop()
    await queries.close()
    void server.stop(true)
    await withTimeLimit(stopped, graceMs, () => {})
  }
  return server.port ?? options.port
}

function readFacts(connection: ChdbConnection): ChdbFacts {
  const read = (sql: string) => new TextDecoder().decode(connection.query(sql).bytes).trimEnd()
  const [version = '', timezone = ''] = read('SELECT version(), timezone()').split('\t')
  const types = read('SELECT name, content_type FROM system.formats').split('\n')
  const pairs = types.map((line) => line.split('\t') as [string, string])
  return { version, timezone, contentTypes: new Map(pairs.filter(([, type]) => type)) }
}

function withConnection<T>(connection: ChdbConnection, use: (connection: ChdbConnection) => T): T {
  try {
    return use(connection)
  } finally {
    connection.close()
  }
}
