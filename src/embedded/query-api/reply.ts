import type { Summary } from '../chdb/connection.ts'
import { toQueryError } from '../chdb/exceptions.ts'
import { codecs } from './body.ts'
import type { Query } from './launch.ts'
import type { QueryRequest } from './request.ts'
import { toCompressedBlocks } from './wire/compressed-blocks.ts'
import { createNativeRewriter } from './wire/native-blocks.ts'

/** Properties of chDB that every reply needs. */
export type ChdbFacts = {
  version: string
  timezone: string
  /** By format, from system.formats. */
  contentTypes: ReadonlyMap<string, string>
}

type ReplyOptions = { query: Query; request: QueryRequest; facts: ChdbFacts }

/** Output to gather before the reply starts, so that an early error gets its own HTTP status. */
const bufferBytesDefault = 1024 * 1024
const bufferBytesMax = 64 * 1024 * 1024

/**
 * The reply to a started query. Rejects with QueryError if the query fails before the reply starts.
 */
export async function toReply({ query: given, ...options }: ReplyOptions): Promise<Response> {
  const { request, facts } = options
  const { format } = await given.started
  const query = format === 'Native' ? withRevision(given, request.revision) : given
  const wanted = request.waitsForEnd ? bufferBytesMax : (request.bufferBytes ?? bufferBytesDefault)
  const { chunks, isWhole } = await gather(query, Math.min(wanted, bufferBytesMax))
  const headers = toHeaders({ request, facts, format })
  const tag = toTag()
  headers.set('x-clickhouse-exception-tag', tag)
  headers.set('x-clickhouse-summary', toSummaryText(isWhole ? await query.finished : undefined))
  const encode = request.isCompressed ? toCompressedBlocks : asIs
  if (!isWhole)
    return toCompressed(toStream({ query, chunks, tag, facts, encode }), request, headers)
  const body = encode(Buffer.concat(chunks))
  return body.length === 0 ? new Response('', { headers }) : toCompressed(body, request, headers)
}

type Encode = (bytes: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer>

const asIs: Encode = (bytes) => bytes

/** The query whose output, in the format Native, is of this revision. */
function withRevision(query: Query, revision: number): Query {
  if (revision === 0) return query
  const { output } = query
  const rewriter = createNativeRewriter(revision)
  const read = async () => {
    const chunk = await output.read()
    try {
      return chunk && rewriter.push(chunk)
    } catch (error) {
      void output.discard()
      throw error
    }
  }
  return { ...query, output: { ...output, read } }
}

type ErrorReplyOptions = Partial<ReplyOptions> & { isCompressed?: boolean }

/** The reply to an error, which may be anything thrown. */
export function toErrorReply(error: unknown, options: ErrorReplyOptions): Response {
  const { request, facts, isCompressed = false } = options
  const { code, text } = toText(error, facts)
  const headers =
    request && facts ? toHeaders({ request, facts, format: 'TabSeparated' }) : new Headers()
  headers.set('content-type', 'text/plain; charset=UTF-8')
  headers.set('x-clickhouse-exception-code', String(code))
  const status = toHttpStatus(code)
  if (status === 503) headers.set('retry-after', '1')
  // As a ClickHouse server does, and as its drivers read it: these two are never compressed.
  const isPlain = !isCompressed || status === 401 || status === 403
  const body = Buffer.from(`${text}\n`)
  return new Response(isPlain ? body : toCompressedBlocks(body), { status, headers })
}

function toText(error: unknown, facts: ChdbFacts | undefined) {
  const { code, message } = toQueryError(error)
  return { code, text: `${message} (version ${facts?.version ?? 'unknown'})` }
}

async function gather({ output }: Query, bytesEnough: number) {
  const chunks: Uint8Array<ArrayBuffer>[] = []
  for (let bytes = 0; bytes < bytesEnough; ) {
    const chunk = await output.read()
    if (chunk === undefined) return { chunks, isWhole: true }
    chunks.push(chunk)
    bytes += chunk.length
  }
  return { chunks, isWhole: false }
}

type StreamParts = {
  query: Query
  chunks: Uint8Array<ArrayBuffer>[]
  tag: string
  facts: ChdbFacts
  encode: Encode
}

/**
 * The output at the client's pace. After a late failure it ends with ClickHouse's `__exception__`
 * block.
 */
function toStream(parts: StreamParts): ReadableStream<Uint8Array> {
  const { query, chunks, tag, facts, encode } = parts
  const readNext = async () => chunks.shift() ?? (await query.output.read())

  async function pull(controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> {
    try {
      let chunk = await readNext()
      // An empty chunk would not make the consumer ask again.
      while (chunk?.length === 0) chunk = await readNext()
      if (chunk !== undefined) return controller.enqueue(encode(chunk))
      await query.finished
    } catch (error) {
      controller.enqueue(encode(toTail(toText(error, facts).text, tag)))
    }
    controller.close()
  }
  return new ReadableStream<Uint8Array>({ pull }, { highWaterMark: 0 })
}

/**
 * Format of ClickHouse since 25.11: marker, tag, message, its length with the line break, tag,
 * marker.
 */
function toTail(text: string, tag: string): Uint8Array<ArrayBuffer> {
  const message = Buffer.from(`${text}\n`)
  const open = `\r\n__exception__\r\n${tag}\r\n`
  return Buffer.concat([
    Buffer.from(open),
    message,
    Buffer.from(`${message.length} ${tag}\r\n__exception__\r\n`),
  ])
}

/** 16 random letters, so that the output cannot contain the tag by chance. */
function toTag(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  return String.fromCharCode(...bytes.map((byte) => 97 + (byte % 26)))
}

type HeaderParts = { request: QueryRequest; facts: ChdbFacts; format: string }

function toHeaders({ request, facts, format }: HeaderParts): Headers {
  return new Headers({
    'content-type': facts.contentTypes.get(format) ?? 'text/plain; charset=UTF-8',
    'x-clickhouse-server-display-name': 'spillway',
    'x-clickhouse-query-id': request.queryId,
    'x-clickhouse-format': format,
    'x-clickhouse-timezone': facts.timezone,
  })
}

/**
 * Counts are strings, as ClickHouse sends them. They are 0 if the reply started before the query
 * ended.
 */
function toSummaryText(summary: Summary | undefined): string {
  const counts = {
    read_rows: summary?.readRows ?? 0,
    read_bytes: summary?.readBytes ?? 0,
    written_rows: summary?.writtenRows ?? 0,
    written_bytes: summary?.writtenBytes ?? 0,
    total_rows_to_read: 0,
    result_rows: summary?.resultRows ?? 0,
    result_bytes: summary?.resultBytes ?? 0,
    elapsed_ns: Math.round((summary?.elapsedSeconds ?? 0) * 1e9),
  }
  const texts = Object.entries(counts).map(([name, count]) => [name, String(count)])
  return JSON.stringify(Object.fromEntries(texts))
}

function toCompressed(
  body: ReadableStream<Uint8Array> | Uint8Array<ArrayBuffer>,
  { encoding }: QueryRequest,
  headers: Headers,
): Response {
  if (encoding === undefined) return new Response(body, { headers })
  headers.set('content-encoding', encoding)
  headers.set('vary', 'accept-encoding')
  const compression = new CompressionStream(codecs[encoding])
  const plain = body instanceof ReadableStream ? body : new Blob([body]).stream()
  const pair = compression as unknown as ReadableWritablePair<Uint8Array, Uint8Array>
  return new Response(plain.pipeThrough(pair), { headers })
}

/**
 * The HTTP status of an exception, as in ClickHouse's exceptionCodeToHTTPStatus, with two
 * differences: too many queries, and a start or stop, are 503 instead of 500, so that clients retry.
 */
function toHttpStatus(code: number): number {
  return statusOf.get(code) ?? 500
}

const statusOf = new Map<number, number>([
  [194, 401], // Password required.
  // Unknown user, wrong password, failed login, access denied.
  ...toEntries(403, [192, 193, 497, 512, 516]),
  // Parse and compile errors, wrong types, columns or syntax.
  ...toEntries(400, [6, 8, 15, 25, 26, 27, 36, 37, 38, 41, 44, 53, 62, 72]),
  ...toEntries(400, [117, 123, 167, 168, 223, 321, 376, 427, 441, 675, 676]),
  // Unknown function, identifier, type, table, database, setting, format, role and so on.
  ...toEntries(404, [46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 152, 336, 511]),
  [159, 408],
  [381, 411],
  [229, 413],
  [779, 415],
  [48, 501],
  // A file cannot be opened, a socket timed out, a task cannot be scheduled; too many queries.
  ...toEntries(503, [76, 209, 439, 202]),
  [236, 503], // Starting or shutting down.
])

function toEntries(status: number, codes: readonly number[]): [number, number][] {
  return codes.map((code) => [code, status])
}
