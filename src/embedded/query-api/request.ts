import { createQueryError } from '../chdb/exceptions.ts'
import type { Settings } from './settings.ts'

/**
 * A request as parsed from URL, headers and form. The rest of the statement may follow in the body.
 */
export type QueryRequest = {
  sql: string
  database: string | undefined
  queryId: string
  format: string
  parameters: Record<string, string>
  /** ClickHouse settings. */
  settings: Settings
  isGet: boolean
  /** Reply after the query has ended. */
  waitsForEnd: boolean
  /** Bytes of output to gather before the reply starts. */
  bufferBytes: number | undefined
  encoding: Encoding | undefined
  /** The reply is in ClickHouse's compressed blocks. */
  isCompressed: boolean
  /** The body is in ClickHouse's compressed blocks. */
  isBodyCompressed: boolean
  /** Revision of ClickHouse's protocol for the format Native. 0 is the oldest. */
  revision: number
}

export type Encoding = 'gzip' | 'deflate' | 'br' | 'zstd'

type RequestParts = {
  url: URL
  headers: Headers
  method: string
  fields?: Iterable<[string, string]>
}

/** Throws QueryError for a value that cannot be used. `fields` are the fields of a form in the body. */
export function parseQueryRequest({
  url,
  headers,
  method,
  fields = [],
}: RequestParts): QueryRequest {
  const given = new Map([...url.searchParams, ...fields])
  const take = (name: string) => {
    const value = given.get(name)
    given.delete(name)
    return value === '' ? undefined : value
  }
  const request = {
    sql: take('query') ?? '',
    database: take('database') ?? headers.get('x-clickhouse-database') ?? undefined,
    queryId: take('query_id') ?? crypto.randomUUID(),
    format: take('default_format') ?? headers.get('x-clickhouse-format') ?? 'TabSeparated',
    isGet: method === 'GET',
    waitsForEnd: [take('wait_end_of_query'), take('http_wait_end_of_query')].includes('1'),
    bufferBytes: toCount(take('buffer_size')),
    encoding: given.get('enable_http_compression') === '0' ? undefined : toEncoding(headers),
    isCompressed: take('compress') === '1',
    isBodyCompressed: take('decompress') === '1',
    revision: toCount(take('client_protocol_version')) ?? 0,
  }
  if (!/^\w+$/.test(request.format))
    throw createQueryError('UNKNOWN_FORMAT', `Unknown format ${request.format}`)
  if (request.queryId.includes('\n'))
    throw createQueryError('BAD_ARGUMENTS', 'query_id must not contain a line break')
  for (const name of unused) given.delete(name)
  return { ...request, ...splitParameters(given) }
}

/**
 * Parameters of ClickHouse's HTTP server that are used elsewhere or have no effect here. There are
 * no sessions and no roles: each request is on its own.
 */
const unused = [
  'user',
  'password',
  'quota_key',
  'stacktrace',
  'session_id',
  'session_check',
  'session_timeout',
  'close_session',
  'role',
  'enable_http_compression',
  'http_zlib_compression_level',
  'http_response_buffer_size',
  'http_headers_progress_interval_ms',
  'http_write_exception_in_output_format',
  'send_progress_in_http_headers',
  'add_http_cors_header',
  'cancel_http_readonly_queries_on_client_close',
  'log_queries',
]

const parameterPrefix = 'param_'

function splitParameters(given: ReadonlyMap<string, string>) {
  const entries = [...given]
  const isParameter = (name: string) => name.startsWith(parameterPrefix)
  const parameters = entries
    .filter(([name]) => isParameter(name))
    .map(([name, value]) => [name.slice(parameterPrefix.length), value] as const)
  return {
    parameters: Object.fromEntries(parameters),
    settings: Object.fromEntries(entries.filter(([name]) => !isParameter(name))),
  }
}

/**
 * The first supported encoding that the client accepts. No Brotli: Bun compresses at its slowest
 * level.
 */
function toEncoding(headers: Headers): Encoding | undefined {
  const accepted = (headers.get('accept-encoding') ?? '')
    .split(',')
    .map((item) => item.trim().toLowerCase())
    .filter((item) => !/;\s*q=0(\.0*)?$/.test(item))
    .map((item) => item.split(';')[0]!.trim())
  return (['gzip', 'zstd', 'deflate'] as const).find((name) => accepted.includes(name))
}

const toCount = (text: string | undefined) =>
  text !== undefined && /^\d{1,12}$/.test(text) ? Number(text) : undefined
