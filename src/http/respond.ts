import type { Server } from 'bun'
import type { Contract, Reply, Submission } from '../core/protocol.ts'
import type { Ingest } from '../ingest.ts'
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
  ingest: Ingest
  toIncoming: ToIncoming
  access: AccessLog
  observe(protocol: string, status: number, ms: number): void
}

/** Runs the pipeline for one request, and writes its access line and latency. */
export function createRespond({ ingest, toIncoming, access, observe }: RespondParts): Respond {
  return async (contract, { request, server, set }) => {
    const startedMs = performance.now()
    const incoming = toIncoming(request, server)
    const reply = await ingest(contract, incoming)
    const ms = performance.now() - startedMs
    const { id, method, path, announcedBytes: bytes, clientIp: ip } = incoming
    observe(contract.name, reply.status, ms)
    access({ id, method, path, status: reply.status, ms, bytes, ip })
    return send(set, reply)
  }
}

/** A reply in Elysia's terms. Bodies are JSON unless the reply says otherwise. */
export function send(set: Context['set'], { status, body, headers }: Reply): string | Response {
  set.status = status
  if (headers) Object.assign(set.headers, headers)
  if (body === null) return new Response(null, { status })
  set.headers['content-type'] ??= 'application/json'
  return body
}
