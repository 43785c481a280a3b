import type { Summary } from '../chdb/connection.ts'
import { asQueryError } from '../chdb/exceptions.ts'
import { codecs } from './body.ts'
import type { Query } from './launch.ts'
import type { QueryRequest } from './request.ts'

/** What every reply says about the engine. */
export type EngineFacts = {
  version: string
  timezone: string
  /** By format, as the engine has it in system.formats. */
  contentTypes: ReadonlyMap<string, string>
}

type ReplyParts = { query: Query; request: QueryRequest; facts: EngineFacts }

/** The reply waits for this much of the output, or its end, so that an error within it has its own status. */
const bufferBytesDefault = 1024 * 1024
const bufferBytesMax = 64 * 1024 * 1024

/** The reply to a query that has started. Rejects with QueryError when it fails before there is much output. */
export async function toReply({ query, request, facts }: ReplyParts): Promise<Response> {
  const { format } = await query.started
  const wanted = request.waitsForEnd ? bufferBytesMax : (request.bufferBytes ?? bufferBytesDefault)
  const { pieces, isWhole } = await gather(query, Math.min(wanted, bufferBytesMax))
  const headers = toHeaders({ request, facts, format })
  const tag = toTag()
  headers.set('x-clickhouse-exception-tag', tag)
  headers.set('x-clickhouse-summary', toSummaryText(isWhole ? await query.finished : undefined))
  if (!isWhole) return compressed(toStream({ query, pieces, tag, facts }), request, headers)
  const body = Buffer.concat(pieces)
  return body.length === 0 ? new Response('', { headers }) : compressed(body, request, headers)
}

/** The reply to whatever went wrong. */
export function toErrorReply(error: unknown, { request, facts }: Partial<ReplyParts>): Response {
  const { code, text } = toText(error, facts)
  const headers =
    request && facts ? toHeaders({ request, facts, format: 'TabSeparated' }) : new Headers()
  headers.set('content-type', 'text/plain; charset=UTF-8')
  headers.set('x-clickhouse-exception-code', String(code))
  const status = toHttpStatus(code)
  if (status === 503) headers.set('retry-after', '1')
  return new Response(`${text}\n`, { status, headers })
}

function toText(error: unknown, facts: EngineFacts | undefined) {
  const { code, message } = asQueryError(error)
  return { code, text: `${message} (version ${facts?.version ?? 'unknown'})` }
}

async function gather({ output }: Query, bytesEnough: number) {
  const pieces: Uint8Array[] = []
  for (let bytes = 0; bytes < bytesEnough; ) {
    const piece = await output.read()
    if (piece === undefined) return { pieces, isWhole: true }
    pieces.push(piece)
    bytes += piece.length
  }
  return { pieces, isWhole: false }
}

type StreamParts = { query: Query; pieces: Uint8Array[]; tag: string; facts: EngineFacts }

/** The output as the client takes it. A failure on the way ends it with ClickHouse's `__exception__` block. */
function toStream({ query, pieces, tag, facts }: StreamParts): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const piece = pieces.shift() ?? (await query.output.read())
        if (piece !== undefined) {
          controller.enqueue(piece)
          return
        }
        const failure = await query.finished.then(
          () => undefined,
          (error: unknown) => error,
        )
        if (failure !== undefined) controller.enqueue(toTail(toText(failure, facts).text, tag))
        controller.close()
      },
    },
    { highWaterMark: 0 },
  )
}

/** As the server has it since 25.11: marker, tag, message, its length with the line end, tag, marker. */
function toTail(text: string, tag: string): Uint8Array {
  const message = Buffer.from(`${text}\n`)
  const open = `\r\n__exception__\r\n${tag}\r\n`
  return Buffer.concat([
    Buffer.from(open),
    message,
    Buffer.from(`${message.length} ${tag}\r\n__exception__\r\n`),
  ])
}

/** Sixteen letters that the output will not hold by chance. */
function toTag(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  return String.fromCharCode(...bytes.map((byte) => 97 + (byte % 26)))
}

type HeaderParts = { request: QueryRequest; facts: EngineFacts; format: string }

function toHeaders({ request, facts, format }: HeaderParts): Headers {
  return new Headers({
    'content-type': facts.contentTypes.get(format) ?? 'text/plain; charset=UTF-8',
    'x-clickhouse-server-display-name': 'spillway',
    'x-clickhouse-query-id': request.queryId,
    'x-clickhouse-format': format,
    'x-clickhouse-timezone': facts.timezone,
  })
}

/** Counts are strings, as the server sends them. Those of a reply that began before the end are not known yet. */
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

function compressed(
  body: ReadableStream<Uint8Array> | Uint8Array<ArrayBuffer>,
  { encoding }: QueryRequest,
  headers: Headers,
): Response {
  if (encoding === undefined) return new Response(body, { headers })
  headers.set('content-encoding', encoding)
  headers.set('vary', 'accept-encoding')
  const packing = new CompressionStream(codecs[encoding])
  const plain = body instanceof ReadableStream ? body : new Blob([body]).stream()
  const pair = packing as unknown as ReadableWritablePair<Uint8Array, Uint8Array>
  return new Response(plain.pipeThrough(pair), { headers })
}

/**
 * The HTTP status that ClickHouse's server gives an exception (its exceptionCodeToHTTPStatus). One differs: too many
 * queries is 503 here, where theirs is 500, so that clients know that they may try again.
 */
function toHttpStatus(code: number): number {
  return statusOf.get(code) ?? 500
}

const statusOf = new Map<number, number>([
  [194, 401], // a password is required
  // Unknown user, wrong password, failed login, role or access denied.
  ...toEntries(403, [192, 193, 497, 512, 516]),
  // What cannot be parsed or compiled, wrong types, wrong columns, wrong syntax.
  ...toEntries(400, [6, 8, 15, 25, 26, 27, 36, 37, 38, 41, 44, 53, 62, 72]),
  ...toEntries(400, [117, 123, 167, 168, 223, 321, 376, 427, 441, 675, 676]),
  // Unknown function, identifier, type, storage, table, database, setting, format, role and so on.
  ...toEntries(404, [46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 152, 336, 511]),
  [159, 408],
  [381, 411],
  [229, 413],
  [779, 415],
  [48, 501],
  // A file that cannot be opened, a socket's timeout, a task that cannot be scheduled; too many queries.
  ...toEntries(503, [76, 209, 439, 202]),
])

function toEntries(status: number, codes: readonly number[]): [number, number][] {
  return codes.map((code) => [code, status])
}
