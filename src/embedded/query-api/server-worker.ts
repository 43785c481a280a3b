import { withTimeLimit } from '../../core/async.ts'
import { serveThread } from '../../core/worker-thread.ts'
import { type ChdbConnection, openConnection } from '../chdb/connection.ts'
import { loadNative } from '../chdb/native.ts'
import { answerStarting, createHandler, type Handler, type User } from './handler.ts'
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
  /** `open` opens chDB, once; until then each request is answered with 503. */
  toThread: 'open' | 'close'
  fromThread: { type: 'opened' } | { type: 'failed'; reason: string } | { type: 'closed' }
}

serveThread<ServerThread>((options, post) => {
  const listening = listen(options)
  async function open(): Promise<void> {
    try {
      await listening.open()
      post({ type: 'opened' })
    } catch (error) {
      post({ type: 'failed', reason: error instanceof Error ? error.message : String(error) })
    }
  }
  const receive = (message: ServerThread['toThread']) =>
    message === 'open' ? void open() : void listening.close().then(() => post({ type: 'closed' }))
  return { ready: listening.port, receive }
})

const kib = 1024
const mib = 1024 * kib
/** Time for ClickHouse to end a query by its own limit. */
const graceMs = 1_000

/** Throws if the port is taken. */
function listen(options: ServerThreadOptions) {
  const isReadOnly = options.mode === 'read-only'
  const sqlBytesMax = isReadOnly ? mib : 64 * mib
  let handler: Handler = answerStarting
  let closeQueries = async () => {}
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: options.port,
    development: false,
    // In seconds, longer than a query may wait and run. Writers have no limit.
    idleTimeout: isReadOnly ? 255 : 0,
    maxRequestBodySize: isReadOnly ? sqlBytesMax + 64 * kib : 16 * 1024 * mib,
    fetch: (request) => handler(request),
    error: (error) => toErrorReply(error, {}),
  })

  async function open(): Promise<void> {
    const { chdbPath: path, executionMsMax } = options
    const native = await loadNative()
    const facts = withConnection(openConnection(native, path), readFacts)
    const queries = createQueries({ ...options, native, path, readMsMax: executionMsMax + graceMs })
    closeQueries = queries.close
    handler = createHandler({ ...options, queries, facts, sqlBytesMax, limits: options })
  }
  async function close(): Promise<void> {
    const stopped = server.stop()
    await closeQueries()
    void server.stop(true)
    await withTimeLimit(stopped, graceMs, () => {})
  }
  return { port: server.port ?? options.port, open, close }
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
