import { createQueryError } from '../chdb/exceptions.ts'
import { type ChdbFacts, toErrorReply, toReply } from './reply.ts'
import { parseQueryRequest, type QueryRequest } from './request.ts'
import { type StartQueryOptions, startQuery } from './start-query.ts'

/** Answers a request as ClickHouse's HTTP server would. */
export type Handler = (request: Request) => Promise<Response>

export type HandlerOptions = StartQueryOptions & { facts: ChdbFacts; user: User }

export function createHandler(options: HandlerOptions): Handler {
  const { facts } = options

  async function handle(request: Request): Promise<Response> {
    const url = new URL(request.url)
    if (request.method === 'OPTIONS') return new Response(null, { status: 204 })
    if (url.pathname === '/ping' || url.pathname === '/replicas_status')
      return new Response('Ok.\n')
    if (url.pathname !== '/')
      return new Response(`There is no handle ${url.pathname}\n`, { status: 404 })
    if (request.method !== 'POST' && !url.searchParams.has('query')) return new Response('Ok.\n')
    return answer(request, url)
  }

  async function answer(request: Request, url: URL): Promise<Response> {
    let parsed: QueryRequest | undefined
    try {
      assertUser(options.user, request.headers, url.searchParams)
      const { headers, method } = request
      const fields = isForm(headers) ? await toFields(request) : []
      parsed = parseQueryRequest({ url, headers, method, fields })
      const query = await startQuery(options, parsed, isForm(headers) ? bodyless(request) : request)
      return await toReply({ query, request: parsed, facts })
    } catch (error) {
      const isCompressed = hasCompressedReply(url)
      return toErrorReply(error, { facts, isCompressed, ...(parsed && { request: parsed }) })
    }
  }
  return withLocalAccess(handle)
}

/** Answers 503 while the embedded ClickHouse opens its data. */
export const answerStarting: Handler = withLocalAccess(async (request) => {
  const sentence = 'The embedded ClickHouse is starting; send the query again'
  const error = createQueryError('ABORTED', sentence)
  return toErrorReply(error, { isCompressed: hasCompressedReply(new URL(request.url)) })
})

const hasCompressedReply = (url: URL) => url.searchParams.get('compress') === '1'

/** A reply may hold texts that strangers sent as events: a browser must not guess their type. */
function withLocalAccess(handle: Handler): Handler {
  return async (request) => {
    const foreign = toForeignReason(request.headers)
    const reply =
      foreign === undefined ? await handle(request) : new Response(`${foreign}\n`, { status: 403 })
    reply.headers.set('x-content-type-options', 'nosniff')
    return reply
  }
}

const isForm = (headers: Headers) =>
  headers.get('content-type')?.startsWith('multipart/form-data') === true

async function toFields(request: Request): Promise<[string, string][]> {
  const fields = [...(await request.formData())]
  return fields.map(([name, value]) => {
    if (typeof value === 'string') return [name, value]
    throw createQueryError('NOT_IMPLEMENTED', 'External tables are not available here')
  })
}

/** The request without its body, which has been read as a form. */
const bodyless = ({ url, signal }: Request) => new Request(url, { signal })

/**
 * The reason to refuse a request that is not local, or undefined. A page open in a browser can send
 * requests here under a foreign host name (DNS rebinding) or from a foreign origin.
 */
function toForeignReason(headers: Headers): string | undefined {
  const host = headers.get('host')
  if (host === null || !isLocal(host)) return `Host ${host ?? '(none)'} is not local`
  const origin = headers.get('origin')
  if (origin !== null && !isLocal(origin.replace(/^https?:\/\//, '')))
    return `Origin ${origin} is not local`
  if (headers.get('sec-fetch-site') === 'cross-site') return 'The request is cross-site'
  return undefined
}

const isLocal = (authority: string) =>
  /^(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?$/i.test(authority)

export type User = { name: string; password: string }

/** ClickHouse's initial user. */
export const defaultUser: User = { name: 'default', password: '' }

/**
 * Throws QueryError for other credentials than the user's, in URL, headers or Basic authorisation.
 * A request without credentials is the default user.
 */
function assertUser(user: User, headers: Headers, search: URLSearchParams): void {
  const basic = /^basic\s+(.+)$/i.exec(headers.get('authorization') ?? '')?.[1] ?? ''
  const [, basicName, basicPassword] =
    /^([^:]*):(.*)$/s.exec(Buffer.from(basic, 'base64').toString()) ?? []
  const name = search.get('user') ?? headers.get('x-clickhouse-user') ?? basicName
  const password = search.get('password') ?? headers.get('x-clickhouse-key') ?? basicPassword
  if ((name || defaultUser.name) === user.name && (password ?? '') === user.password) return
  throw createQueryError(
    'AUTHENTICATION_FAILED',
    `${name || defaultUser.name}: Authentication failed`,
  )
}
