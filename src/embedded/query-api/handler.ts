import { refusal } from '../chdb/exceptions.ts'
import { type EngineFacts, toErrorReply, toReply } from './reply.ts'
import { parseQueryRequest, type QueryRequest } from './request.ts'
import { type StartParts, startQuery } from './start-query.ts'

/** Answers a request as ClickHouse's HTTP server would. */
export type Handler = (request: Request) => Promise<Response>

export type HandlerParts = StartParts & { facts: EngineFacts; user: User }

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
    if (request.method !== 'POST' && !url.searchParams.has('query')) return new Response('Ok.\n')
    return answer(request, url)
  }

  async function answer(request: Request, url: URL): Promise<Response> {
    let parsed: QueryRequest | undefined
    try {
      assertUser(parts.user, request.headers, url.searchParams)
      const { headers, method } = request
      const fields = isForm(headers) ? await toFields(request) : []
      parsed = parseQueryRequest({ url, headers, method, fields })
      const query = await startQuery(parts, parsed, isForm(headers) ? bodyless(request) : request)
      return await toReply({ query, request: parsed, facts })
    } catch (error) {
      return toErrorReply(error, { facts, ...(parsed && { request: parsed }) })
    }
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

/** The same request once its form was read. */
const bodyless = ({ url, signal }: Request) => new Request(url, { signal })

/**
 * Why a request is refused: it did not come to, or from, this machine under its own name. A page that a browser has
 * open may send requests here under a foreign name (DNS rebinding) or from a foreign origin.
 */
function toForeignReason(headers: Headers): string | undefined {
  const host = headers.get('host')
  if (host === null || !isLocal(host)) return `Host ${host ?? '(none)'} is not local`
  const origin = headers.get('origin')
  if (origin !== null && !isLocal(origin.replace(/^https?:\/\//, '')))
    return `Origin ${origin} is not local`
  if (headers.get('sec-fetch-site') === 'cross-site') return 'The request crosses sites'
  return undefined
}

const isLocal = (authority: string) =>
  /^(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?$/i.test(authority)

export type User = { name: string; password: string }

/** The server's own user: `default`, without a password. */
export const defaultUser: User = { name: 'default', password: '' }

/** Throws QueryError unless the request names this user, by URL, header or Basic authorisation, or none. */
function assertUser(user: User, headers: Headers, search: URLSearchParams): void {
  const basic = /^basic\s+(.+)$/i.exec(headers.get('authorization') ?? '')?.[1] ?? ''
  const [, basicName, basicPassword] =
    /^([^:]*):(.*)$/s.exec(Buffer.from(basic, 'base64').toString()) ?? []
  const name = search.get('user') ?? headers.get('x-clickhouse-user') ?? basicName
  const password = search.get('password') ?? headers.get('x-clickhouse-key') ?? basicPassword
  if ((name || defaultUser.name) === user.name && (password ?? '') === user.password) return
  throw refusal('AUTHENTICATION_FAILED', `${name || defaultUser.name}: Authentication failed`)
}
