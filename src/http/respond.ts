import type { Server } from 'bun'
import type { Contract, Reply, Submission } from '../core/protocol.ts'
import type { Incoming, Ingest } from '../ingest.ts'
import type { AccessLog } from '../ops/log.ts'
import type { ToIncoming } from './incoming.ts'

/** The part of Elysia's context that our routes destructure; it reads their source to know what they need. */
export type Context = {
  request: Request
  server: Server<unknown> | null
  set: { status?: number | string; headers: Record<string, unknown> }
}

export type Respond = <S extends Submission>(
  contract: Contract<S>,
  context: Context,
) => Promise<string | Response>

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
) => Promise<string | Response>

/** Runs the pipeline for one request, and writes its access line and latency. */
export function createRespond({ ingest, ...parts }: RespondParts & { ingest: Ingest }): Respond {
  return async (contract, { request, server, set }) => {
    const startedMs = performance.now()
    const incoming = parts.toIncoming(request, server)
    const reply = await ingest(contract, incoming)
    note(parts, contract.name, { incoming, reply, startedMs })
    // The rest of a body that came too slowly is still on its way: only closing ends it.
    if (reply.status === 408) set.headers.connection = 'close'
    return send(set, reply)
  }
}

/** The same for every other route. `name` is what the latency is counted under. */
export function createAnswer(parts: RespondParts): Answer {
  return async (name, { request, server, set }, toReply) => {
    const startedMs = performance.now()
    const incoming = parts.toIncoming(request, server)
    const reply = await toReply(incoming.clientIp)
    note(parts, name, { incoming, reply, startedMs })
    return send(set, reply)
  }
}

type Answered = { incoming: Incoming; reply: Reply; startedMs: number }

function note({ access, observe }: RespondParts, name: string, answered: Answered): void {
  const { id, method, path, announcedBytes: bytes, clientIp: ip } = answered.incoming
  const { status } = answered.reply
  const ms = performance.now() - answered.startedMs
  observe(name, status, ms)
  access({ id, method, path, status, ms, bytes, ip })
}

/** A reply in Elysia's terms. Bodies are JSON unless the reply says otherwise. */
export function send(set: Context['set'], { status, body, headers }: Reply): string | Response {
  set.status = status
  if (headers) Object.assign(set.headers, headers)
  if (body === null) return new Response(null, { status })
  set.headers['content-type'] ??= 'application/json'
  return body
}
