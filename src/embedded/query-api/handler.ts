import { refusal } from '../chdb/exceptions.ts'
import { toForeignReason } from './local-only.ts'
import { type EngineFacts, toErrorReply, toReply } from './reply.ts'
import { parseQueryRequest, type QueryRequest } from './request.ts'
import { type StartParts, startQuery } from './start-query.ts'
import { assertUser, type User } from './user.ts'

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
