import { type Body, openBody } from './body.ts'
import { refusal } from './exceptions.ts'
import { type InsertParts, splitInsert } from './insert.ts'
import type { Query } from './launch.ts'
import { toForeignReason } from './local-only.ts'
import type { Queries, QueryJob } from './queries.ts'
import { type EngineFacts, toErrorReply, toReply } from './reply.ts'
import { parseQueryRequest, type QueryRequest } from './request.ts'
import { type Limits, type Mode, toEngineSettings } from './settings.ts'
import { assertUser, type User } from './user.ts'

/** Answers a request as ClickHouse's HTTP server would. */
export type Handler = (request: Request) => Promise<Response>

export type HandlerParts = {
  queries: Queries
  facts: EngineFacts
  mode: Mode
  limits: Limits
  /** A statement, without the rows of an insert. */
  sqlBytesMax: number
  user: User
}

export function createHandler(parts: HandlerParts): Handler {
  const { facts } = parts

  return async function handle(request) {
    const foreign = toForeignReason(request.headers)
    if (foreign !== undefined) return new Response(`${foreign}\n`, { status: 403 })
    const url = new URL(request.url)
    if (request.method === 'OPTIONS') return new Response(null, { status: 204 })
    if (url.pathname === '/ping' || url.pathname === '/replicas_status')
      return new Response('Ok.\n')
    if (url.pathname !== '/')
      return new Response(`There is no handle ${url.pathname}\n`, { status: 404 })
    if (request.method === 'GET' && !url.searchParams.has('query')) return new Response('Ok.\n')
    return answer(request, url)
  }

  async function answer(request: Request, url: URL): Promise<Response> {
    let parsed: QueryRequest | undefined
    try {
      assertUser(parts.user, request.headers, url.searchParams)
      const { headers, method } = request
      const fields = isForm(headers) ? await toFields(request) : []
      parsed = parseQueryRequest({ url, headers, method, fields })
      const query = await start(parsed, request)
      return await toReply({ query, request: parsed, facts })
    } catch (error) {
      return toErrorReply(error, { facts, ...(parsed && { request: parsed }) })
    }
  }

  async function start(parsed: QueryRequest, request: Request): Promise<Query> {
    const body = openBody(isForm(request.headers) ? new Request(request.url) : request)
    const prefix = parsed.sql === '' ? '' : `${parsed.sql}\n`
    const insert = parts.mode === 'writable' ? await peekInsert(prefix, body) : undefined
    if (!insert) {
      const text = new TextDecoder().decode(await body.rest(parts.sqlBytesMax))
      const job = toJob(parsed, { sql: prefix + text })
      return parts.queries.start(job, request.signal)
    }
    const { sql, format } = insert
    const job = toJob(parsed, { sql: fromLatin1(sql).toString(), format, isInsert: true })
    const query = await parts.queries.start(job, request.signal)
    void sendRows({ query, body, prefix, insert, signal: request.signal })
    return query
  }

  function toJob(parsed: QueryRequest, statement: Partial<QueryJob> & { sql: string }): QueryJob {
    const { queryId, database, parameters, format, isGet } = parsed
    const given = parsed.settings
    const { mode, limits } = parts
    const settings = toEngineSettings({ mode, limits, given, queryId, isGet })
    return { queryId, database, parameters, format, settings, isInsert: false, ...statement }
  }
}

/** The start of a body that is looked at to find where the rows of an insert begin. */
const insertHeadBytesMax = 64 * 1024

async function peekInsert(prefix: string, body: Body): Promise<InsertParts | undefined> {
  const head = await body.peek(prefix === '' ? insertHeadBytesMax : 1)
  return splitInsert(toLatin1(Buffer.from(prefix)) + toLatin1(head))
}

/** One character a byte, so that what is found in the text is found in the bytes. */
const toLatin1 = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1')
const fromLatin1 = (text: string) => Buffer.from(text, 'latin1')

type Rows = {
  query: Query
  body: Body
  prefix: string
  insert: InsertParts
  signal: AbortSignal
}

/** Hands the rows on as they come. A body that was cut off commits nothing more. */
async function sendRows({ query, body, prefix, insert, signal }: Rows): Promise<void> {
  const prefixBytes = Buffer.byteLength(prefix)
  let skip = insert.dataStart - prefixBytes
  if (skip < 0) await query.sendRows(Buffer.from(prefix).subarray(insert.dataStart))
  try {
    for (let piece = await body.next(); piece !== undefined; piece = await body.next()) {
      if (piece.length > skip) await query.sendRows(piece.subarray(Math.max(skip, 0)))
      skip = Math.max(0, skip - piece.length)
    }
    if (signal.aborted) query.abandon()
    else query.commit()
  } catch {
    query.abandon()
  }
}

const isForm = (headers: Headers) =>
  headers.get('content-type')?.startsWith('multipart/form-data') === true

async function toFields(request: Request): Promise<[string, string][]> {
  const fields = [...(await request.formData())]
  return fields.map(([name, value]) => {
    if (typeof value === 'string') return [name, value]
    throw refusal('NOT_IMPLEMENTED', 'External tables are not available here')
  })
}
