import type { Server } from 'bun'
import type { Contract, Reply, Submission } from '../core/protocol.ts'
import type { Incoming, Ingest } from '../ingest/pipeline.ts'
import type { AccessLog } from '../observability/log.ts'
import type { ToIncoming } from './incoming.ts'

/** The part of Elysia's context that our routes destructure; it reads their source to know what they need. */
export type Context = {
  request: Request
  server: Server<unknown> | null
}

export type Respond = <S extends Submission>(
  contract: Contract<S>,
  context: Context,
) => Promise<Response>

export type RespondParts = {
  toIncoming: ToIncoming
  access: AccessLog
  observe(protocol: string, status: number, ms: number): void
}

/** Answers a request that is no event intake. */
export type Answer = (
  name: string,
  context: Context,
  reply: (clientIp: string) => Reply | Promise<Reply>,
) => Promise<Response>

/** Runs the pipeline for one request, and writes its access line and latency. */
export function createRespond({ ingest, ...parts }: RespondParts & { ingest: Ingest }): Respond {
  return async (contract, { request, server }) => {
    const startedMs = performance.now()
    const incoming = parts.toIncoming(request, server)
    const reply = await ingest(contract, incoming)
    note(parts, contract.name, { incoming, reply, startedMs })
    return send(reply.status === 408 ? toLast(reply) : reply)
  }
}

/** The same for every other route. `name` is what the latency is counted under. */
export function createAnswer(parts: RespondParts): Answer {
  return async (name, { request, server }, toReply) => {
    const startedMs = performance.now()
    const incoming = parts.toIncoming(request, server)
    const reply = await toReply(incoming.clientIp)
    note(parts, name, { incoming, reply, startedMs })
    return send(reply)
  }
}

/** The rest of a body that came too slowly is still on its way: only closing ends it. */
function toLast(reply: Reply): Reply {
  return { ...reply, headers: { ...reply.headers, connection: 'close' } }
}

type Answered = { incoming: Incoming; reply: Reply; startedMs: number }

function note({ access, observe }: RespondParts, name: string, answered: Answered): void {
  const { id, method, path, announcedBytes: bytes, clientIp: ip } = answered.incoming
  const { status } = answered.reply
  const ms = performance.now() - answered.startedMs
  observe(name, status, ms)
  access({ id, method, path, status, ms, bytes, ip })
}

/** Bodies are JSON unless the reply says otherwise. */
export function send({ status, body, headers }: Reply): Response {
  const type = body === null ? {} : json
  return new Response(body, { status, headers: headers ? { ...type, ...headers } : type })
}

const json = { 'content-type': 'application/json' }
