import type { Config } from '../config/config.ts'
import { ConsoleError } from './exchange.ts'

/** Reads from the ClickHouse that holds the events: the embedded one, or the one of CLICKHOUSE_URL. */
export type ClickHouseReader = {
  kind: 'embedded' | 'remote' | 'off'
  /**
   * Rows as JSON. `parameters` are the values of `{name:Type}` in the statement. Throws
   * `clickhouse_unavailable`, or `query_failed` with ClickHouse's sentence.
   */
  query<Row>(sql: string, parameters?: Record<string, string | number>): Promise<Row[]>
  /** ClickHouse's own reply to a statement of an operator. Only the embedded one can be asked. */
  pass(sql: string, format: string, signal: AbortSignal): Promise<Response>
}

export type ClickHouseReaderOptions = {
  config: Pick<Config, 'CLICKHOUSE_URL'>
  /** Whether ClickHouse is one of the sinks. */
  hasClickHouse: boolean
  /** The port of the embedded ClickHouse's queries; undefined: they are off, or their port was taken. */
  queryPort: number | undefined
}

/** Of one look-up. A page with several of them must come within some seconds. */
const querySeconds = 5
const connectMsMax = 8000

export function createClickHouseReader(options: ClickHouseReaderOptions): ClickHouseReader {
  const target = toTarget(options)

  async function ask(sql: string, settings: Record<string, string>, signal: AbortSignal) {
    if (target === undefined) throw unavailable(options.hasClickHouse ? isOff : hasNone)
    const url = `${target.origin}/?${new URLSearchParams({ ...target.search, ...settings })}`
    try {
      return await fetch(url, { method: 'POST', headers: target.headers, body: sql, signal })
    } catch (error) {
      if (signal.aborted) throw unavailable(isLate)
      throw unavailable(`ClickHouse cannot be reached: ${toReason(error)}`)
    }
  }

  async function query<Row>(sql: string, parameters: Record<string, string | number> = {}) {
    const settings = {
      ...toParameters(parameters),
      default_format: 'JSON',
      max_execution_time: String(querySeconds),
      output_format_json_quote_64bit_integers: '0',
    }
    const reply = await ask(sql, settings, AbortSignal.timeout(connectMsMax))
    const text = await reply.text()
    if (!reply.ok) throw toFailure(reply.status, text)
    return (JSON.parse(text) as { data: Row[] }).data
  }

  return {
    kind: target?.kind ?? 'off',
    query,
    async pass(sql, format, signal) {
      if (target?.kind === 'remote') {
        const sentence = 'CLICKHOUSE_URL is set; send the query to that ClickHouse'
        throw new ConsoleError(409, 'remote_clickhouse', sentence)
      }
      const reply = await ask(sql, { default_format: format }, signal)
      if (!reply.ok) throw toFailure(reply.status, await reply.text())
      return reply
    },
  }
}

// The embedded ClickHouse answers one query after the other.
const isLate = `ClickHouse did not answer within ${connectMsMax} ms; another query may be running`

const isOff =
  'queries of the embedded ClickHouse are off: SINKS does not name it, EMBEDDED_CLICKHOUSE_PORT is 0, or its port was taken'

const hasNone = 'this server has no ClickHouse: SINKS does not name it'

const unavailable = (detail: string) => new ConsoleError(503, 'clickhouse_unavailable', detail)

const toReason = (error: unknown) => (error instanceof Error ? error.message : String(error))

const sentenceCharsMax = 2000

function toFailure(status: number, text: string): ConsoleError {
  const sentence = text.trim().slice(0, sentenceCharsMax)
  return status === 503 ? unavailable(sentence) : new ConsoleError(400, 'query_failed', sentence)
}

type Target = {
  kind: 'embedded' | 'remote'
  origin: string
  search: Record<string, string>
  headers: Record<string, string>
}

function toTarget(options: ClickHouseReaderOptions): Target | undefined {
  const { config, queryPort, hasClickHouse } = options
  if (!hasClickHouse) return undefined
  if (config.CLICKHOUSE_URL !== undefined) return toRemote(new URL(config.CLICKHOUSE_URL))
  if (queryPort === undefined) return undefined
  return { kind: 'embedded', origin: `http://127.0.0.1:${queryPort}`, search: {}, headers: {} }
}

/** The password goes into a header: a URL may be logged. */
function toRemote({ origin, username, password, pathname }: URL): Target {
  const database = decodeURIComponent(pathname.replace(/^\/|\/$/g, ''))
  return {
    kind: 'remote',
    origin,
    search: database === '' ? {} : { database },
    headers: {
      ...(username ? { 'x-clickhouse-user': decodeURIComponent(username) } : {}),
      ...(password ? { 'x-clickhouse-key': decodeURIComponent(password) } : {}),
    },
  }
}

/** ClickHouse reads a parameter as it reads a field of TabSeparated. */
function toParameters(values: Record<string, string | number>): Record<string, string> {
  const entries = Object.entries(values).map(([name, value]) => [
    `param_${name}`,
    String(value).replace(/[\\\t\n\r\0]/g, (char) => escapes[char]!),
  ])
  return Object.fromEntries(entries)
}

const escapes: Record<string, string> = {
  '\\': '\\\\',
  '\t': '\\t',
  '\n': '\\n',
  '\r': '\\r',
  '\0': '\\0',
}
