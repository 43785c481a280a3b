import { Readable } from 'node:stream'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { toChunks } from './body.ts'
import {
  type ClickHouse,
  createVendorClient,
  type Insert,
  insertSettings,
  type ReplyFacts,
  toStatements,
  worded,
} from './client.ts'
import { ClickHouseFailure } from './failure.ts'

/** ClickHouse closes a connection that is idle for 10 s, older ones for 3 s: we must be first. */
const idleSocketMsMax = 2_500
/** What a reply to an insert may hold beyond nothing, before we stop reading it. */
const replyBytesMax = 64 * 1024

export type HttpOptions = {
  /** Credentials and database in the URL. */
  url: string
  /** The database to speak to, where it is not the URL's. */
  database?: string
  /** One call; an insert that takes longer has an unknown outcome. */
  timeoutMs: number
}

/** ClickHouse over HTTP. Connects on the first call. */
export function createHttpClickHouse({ url, database, timeoutMs }: HttpOptions): ClickHouse {
  const client = createVendorClient({
    url: database === undefined ? url : withDatabase(url, database),
    request_timeout: timeoutMs,
    keep_alive: { idle_socket_ttl: idleSocketMsMax, eagerly_destroy_stale_sockets: true },
    // The server gives up soon after we do, so that a stuck insert does not hold up the next
    // attempt for ever.
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
      abort_signal: withinTime(signal),
      clickhouse_settings: { wait_end_of_query: 1 },
    })
    const text = await readText(reply.stream)
    if (reply.response_headers[queryIdHeader] !== token || text.trim() !== '') throw unproven(text)
  }

  // The client's own time limit is one of silence: a reply that trickles would outlive it.
  const withinTime = (signal?: AbortSignal) =>
    AbortSignal.any([AbortSignal.timeout(timeoutMs), ...(signal ? [signal] : [])])
  const statements = toStatements(client, assertProven)

  return {
    query: (sql, signal) => statements.query(sql, withinTime(signal)),
    command: (sql, signal) => statements.command(sql, withinTime(signal)),
    insert: (rows, signal) => worded(() => insert(rows, signal)),
    close: () => client.close(),
  }
}

const queryIdHeader = 'x-clickhouse-query-id'

/** A proxy with nothing behind it says OK to anything, and no rows would be an answer as well. */
function assertProven({ response_headers: headers }: ReplyFacts): void {
  if (headers[queryIdHeader] === undefined) throw unproven('no ClickHouse has answered')
}

const unproven = (text: string) =>
  new ClickHouseFailure(`a reply that proves nothing: ${text.slice(0, 200)}`, {
    reason: 'unproven_reply',
  })

/** Throws where the URL is none. The path of the URL is the database, as the client reads it. */
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

/** Others have their turn between chunks. */
async function* toBody(lines: Insert['lines']): AsyncGenerator<Buffer> {
  for (const chunk of toChunks(lines)) {
    yield chunk
    await nextTurn()
  }
}

/** Rejects where the reply is cut off: then the insert's outcome is unknown. */
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
