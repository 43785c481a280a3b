import type { Server } from 'bun'
import type { Contract, Reply, Submission } from '../core/protocol.ts'
import type { Incoming, Ingest } from '../ingest/pipeline.ts'
import type { AccessLog } from '../observability/log.ts'
import type { ToIncoming } from './incoming.ts'

/** The part of Elysia's context that routes use. */
export type Context = {
  request: Request
  server: Server<unknown> | null
}

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

/** Runs the pipeline for one request, then writes its access line and its latency. */
export function createRespond(options: RespondOptions & { ingest: Ingest }): Respond {
  const { ingest } = options
  return async (contract, { request, server }) => {
    // Link previews send HEAD for a pixel. It gets the headers of GET, and stores nothing.
    if (request.method === 'HEAD') return send(headReply)
    const startedMs = performance.now()
    const incoming = options.toIncoming(request, server)
    const reply = await ingest(contract, incoming)
    note(options, contract.name, { incoming, reply, startedMs })
    return send(reply.status === 408 ? toLast(reply) : reply)
  }
}

/** As `createRespond`, for routes without a pipeline. */
export function createAnswer(options: RespondOptions): Answer {
  return async (name, { request, server }, toReply) => {
    const startedMs = performance.now()
    const incoming = options.toIncoming(request, server)
    const reply = await toReply(incoming.clientIp)
    note(options, name, { incoming, reply, startedMs })
    return send(reply)
  }
}

/** After a timeout the rest of the body may still arrive. Only closing the connection ends it. */
function toLast(reply: Reply): Reply {
  return { ...reply, headers: { ...reply.headers, connection: 'close' } }
}

type Answered = { incoming: Incoming; reply: Reply; startedMs: number }

function note({ access, observe }: RespondOptions, name: string, answered: Answered): void {
  const { id, method, path, announcedBytes: bytes, clientIp: ip } = answered.incoming
  const { status } = answered.reply
  const ms = performance.now() - answered.startedMs
  observe(name, status, ms)
  access({ id, method, path, status, ms, bytes, ip })
}

/** Bodies are JSON unless the reply names another type. */
export function send({ status, body, headers }: Reply): Response {
  const type = body === null ? {} : json
  return new Response(body, { status, headers: headers ? { ...type, ...headers } : type })
}

const json = { 'content-type': 'application/json' }
const headReply: Reply = { status: 200, body: null, headers: json }
