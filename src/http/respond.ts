import type { Server } from 'bun'
import { type ErrorCode, statusOf } from '../core/errors.ts'
import type { Contract, Reply, Submission } from '../core/protocol.ts'
import type { Incoming, Ingest } from '../ingest/pipeline.ts'
import type { AccessLog } from '../observability/log.ts'
import type { ToIncoming } from './incoming.ts'

/** The part of Elysia's context that routes use. */
export type Context = {
  request: Request
  server: Server<unknown> | null
}

/** The address of the other end of the connection. */
export const toPeer = (request: Request, server: Context['server']) =>
  server?.requestIP(request)?.address ?? ''

export type Respond = <S extends Submission>(
  contract: Contract<S>,
  context: Context,
) => Promise<Response>

export type RespondOptions = {
  toIncoming: ToIncoming
  access: AccessLog
  observe(protocol: string, status: number, ms: number): void
}

/** Answers a request that carries no events. `name` is the label of its latency. */
export type Answer = (
  name: string,
  context: Context,
  reply: (clientIp: string) => Reply | Promise<Reply>,
) => Promise<Response>

/** Answers a request outside of the routes: one that no route takes, or a probe. */
export type Refuse = (context: Context, reply: Reply) => Response

/** Runs the pipeline for one request, then writes its access line and its latency. */
export function createRespond(options: RespondOptions & { ingest: Ingest }): Respond {
  const { ingest } = options
  return async (contract, { request, server }) => {
    const startedMs = performance.now()
    const incoming = options.toIncoming(request, server)
    // Link previews send HEAD for a pixel. It gets the headers of GET, and stores nothing.
    const reply = request.method === 'HEAD' ? headReply : await ingest(contract, incoming)
    note(options, contract.name, { incoming, reply, startedMs })
    return send(reply.status === 408 ? toLast(reply) : reply, incoming.id)
  }
}

/** As `createRespond`, for routes without a pipeline. */
export function createAnswer(options: RespondOptions): Answer {
  return async (name, { request, server }, toReply) => {
    const startedMs = performance.now()
    const incoming = options.toIncoming(request, server)
    const reply = await toReply(incoming.clientIp)
    note(options, name, { incoming, reply, startedMs })
    return send(reply, incoming.id)
  }
}

export function createRefuse(options: RespondOptions): Refuse {
  return ({ request, server }, reply) => {
    const startedMs = performance.now()
    const incoming = options.toIncoming(request, server)
    note(options, reply.status < 400 ? probe : 'none', { incoming, reply, startedMs })
    return send(reply, incoming.id)
  }
}

/** Adds the id to a reply that another part wrote, and writes an access line if it is a refusal. */
export type Trace = (context: Context, reply: Response | Promise<Response>) => Promise<Response>

export function createTrace(options: Pick<RespondOptions, 'toIncoming' | 'access'>): Trace {
  return async ({ request, server }, replying) => {
    const startedMs = performance.now()
    const incoming = options.toIncoming(request, server)
    const reply = await replying
    reply.headers.set('x-request-id', incoming.id)
    // A file of the console's page differs by its encoding, too.
    if (!/\borigin\b/i.test(reply.headers.get('vary') ?? '')) reply.headers.append('vary', 'Origin')
    reply.headers.set('x-content-type-options', 'nosniff')
    if (reply.status < 400) return reply
    const reason = toReason(await reply.clone().text())
    const { status } = reply
    note({ ...options, observe() {} }, 'socket', {
      incoming,
      reply: { status, body: null, reason },
      startedMs,
    })
    return reply
  }
}

/** `{"code":"rate","message":…}` of the handshake, `{"code":1,"message":…}` of Engine.IO. */
function toReason(body: string): string {
  try {
    const { code, message, error } = JSON.parse(body)
    return String(typeof code === 'string' ? code : (error ?? message ?? 'refused'))
  } catch {
    return 'refused'
  }
}

/** After a timeout the rest of the body may still arrive. Only closing the connection ends it. */
function toLast(reply: Reply): Reply {
  return { ...reply, headers: { ...reply.headers, connection: 'close' } }
}

type Answered = { incoming: Incoming; reply: Reply; startedMs: number }

/** Load balancers and Prometheus ask these all day: only a refusal is worth a line. */
export const probe = 'probe'

function note({ access, observe }: RespondOptions, name: string, answered: Answered): void {
  const { id, method, path, headers, announcedBytes: bytes, clientIp: ip } = answered.incoming
  const { status, reason } = answered.reply
  const ms = performance.now() - answered.startedMs
  observe(name, status, ms)
  if (name === probe && status < 400) return
  access({ id, method, path, status, ms, bytes, ip, reason, clientId: headers.get('x-request-id') })
}

/**
 * Bodies are JSON unless the reply names another type; browsers must not guess one, because bodies
 * repeat what clients sent. Any reply can differ by its CORS headers.
 */
export function send({ status, body, headers }: Reply, id: string): Response {
  const always = { 'x-request-id': id, vary: 'Origin', ...noSniffing }
  const shared = body === null ? always : { 'content-type': 'application/json', ...always }
  return new Response(body, { status, headers: headers ? { ...shared, ...headers } : shared })
}

const noSniffing = { 'x-content-type-options': 'nosniff' } as const

const headReply: Reply = {
  status: 200,
  body: null,
  headers: { 'content-type': 'application/json' },
}

/** A refusal outside of a contract. */
export function toRequestFault(code: ErrorCode, detail: string): Reply {
  const body = JSON.stringify({ code: 0, status: 'error', error: code, detail })
  return { status: statusOf[code], body, reason: code }
}
