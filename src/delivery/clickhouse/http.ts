import { Readable } from 'node:stream'
import { setImmediate as nextIteration } from 'node:timers/promises'
import { hourMs } from '../../core/clock.ts'
import { toChunks } from './body.ts'
import {
  type ClickHouse,
  createVendorClient,
  type Insert,
  insertSettings,
  type ReplyFacts,
  toStatements,
  withFailures,
} from './client.ts'
import { ClickHouseFailure } from './failure.ts'

/**
 * ClickHouse closes a connection that is idle for 10 s, older versions after 3 s. Close it before.
 */
const idleSocketMsMax = 2_500
/** The reply to an insert should be empty. Stop reading a longer one than this. */
const replyBytesMax = 64 * 1024

export type HttpOptions = {
  /** Credentials and database in the URL. */
  url: string
  /** Overrides the database of the URL. */
  database?: string
  /** Limit of one call. The outcome of an insert that takes longer is unknown. */
  timeoutMs: number
}

/** ClickHouse over HTTP. Connects on the first call. */
export function createHttpClickHouse({ url, database, timeoutMs }: HttpOptions): ClickHouse {
  const connection = {
    url: database === undefined ? url : withDatabase(url, database),
    keep_alive: { idle_socket_ttl: idleSocketMsMax, eagerly_destroy_stale_sockets: true },
  }
  const client = createVendorClient({
    ...connection,
    request_timeout: timeoutMs,
    // The server ends a stuck insert soon after our timeout, so that the next attempt can start.
    clickhouse_settings: { max_execution_time: Math.ceil(timeoutMs / 1000) },
  })

  async function insert(
    { table, token, lines }: Parameters<ClickHouse['insert']>[0],
    signal: AbortSignal,
  ): Promise<void> {
    const settings = Object.entries({ ...insertSettings, insert_deduplication_token: token })
    const clause = settings.map(([name, value]) => `${name}=${toLiteral(value)}`).join(', ')
    const reply = await client.exec({
      query: `INSERT INTO ${table} SETTINGS ${clause} FORMAT JSONEachRow`,
      values: Readable.from(toBody(lines), { objectMode: false }),
      query_id: token,
      abort_signal: withTimeout(signal),
      clickhouse_settings: { wait_end_of_query: 1 },
    })
    const text = await readText(reply.stream)
    if (reply.response_headers[queryIdHeader] !== token || text.trim() !== '')
      throw createUnproven(text)
  }

  // The client's own limit restarts with every byte, so a reply that trickles would outlast it.
  const withTimeout = (signal?: AbortSignal) =>
    AbortSignal.any([AbortSignal.timeout(timeoutMs), ...(signal ? [signal] : [])])
  const statements = toStatements(client, assertProven)

  /** The headers keep load balancers from closing a connection that is silent. */
  async function runLong(sql: string, id: string): Promise<void> {
    const settings = {
      ...{ send_progress_in_http_headers: 1 as const, http_headers_progress_interval_ms: '30000' },
      max_execution_time: 0,
    }
    const own = { ...connection, request_timeout: longMsMax, clickhouse_settings: settings }
    const patient = createVendorClient(own)
    try {
      await toStatements(patient, assertProven).command(sql, undefined, id)
    } finally {
      await patient.close()
    }
  }

  return {
    query: (sql, signal) => statements.query(sql, withTimeout(signal)),
    command: (sql, signal, longId) =>
      longId === undefined ? statements.command(sql, withTimeout(signal)) : runLong(sql, longId),
    insert: (rows, signal) => withFailures(() => insert(rows, signal)),
    close: () => client.close(),
  }
}

/** Limit of a long statement. */
const longMsMax = 24 * hourMs

const queryIdHeader = 'x-clickhouse-query-id'

/**
 * A proxy without a server behind it may reply 200 to anything, and an empty result is a valid
 * reply.
 */
function assertProven({ response_headers: headers }: ReplyFacts): void {
  if (headers[queryIdHeader] === undefined)
    throw createUnproven('the reply has no header x-clickhouse-query-id')
}

const createUnproven = (text: string) =>
  new ClickHouseFailure(
    `the reply does not prove that ClickHouse handled the request: ${text.slice(0, 200)}`,
    {
      reason: 'unproven_reply',
    },
  )

/** The path of the URL, as the vendor's client reads it. Throws for an invalid URL. */
export function databaseOf(url: string): string {
  return decodeURIComponent(new URL(url).pathname.replace(/^\/|\/$/g, '')) || 'default'
}

function withDatabase(url: string, database: string): string {
  const other = new URL(url)
  other.pathname = `/${encodeURIComponent(database)}`
  return other.href
}

const toLiteral = (value: string | number) =>
  typeof value === 'number' ? String(value) : `'${value.replace(/[\\']/g, '\\$&')}'`

/** Yields to the event loop between chunks. */
async function* toBody(lines: Insert['lines']): AsyncGenerator<Buffer> {
  for (const chunk of toChunks(lines)) {
    yield chunk
    await nextIteration()
  }
}

/** Rejects if the reply is cut off; the outcome of the insert is then unknown. */
async function readText(stream: Readable): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of stream) {
    bytes += chunk.length
    if (bytes > replyBytesMax) break
    chunks.push(Buffer.from(chunk))
  }
  return Buffer.concat(chunks).toString()
}
