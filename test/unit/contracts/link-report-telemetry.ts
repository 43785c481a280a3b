import { IngestError, toRequestError } from '../../../src/core/errors.ts'
import type {
  IngestRequest,
  NormaliseContext,
  Normalised,
  Protocol,
  Reply,
  Submission,
} from '../../../src/core/protocol.ts'

export const receivedMs = Date.parse('2026-01-01T12:00:00.000Z')

export function toRequest({
  path = '/',
  headers = {},
}: {
  path?: string
  headers?: Record<string, string>
} = {}): IngestRequest {
  return {
    method: 'POST',
    path,
    query: new URLSearchParams(),
    headers: new Headers(headers),
    clientIp: '203.0.113.7',
    receivedMs,
  }
}

export const context: NormaliseContext = {
  project: { id: 'shop', origins: undefined, rate: undefined, quotas: {} },
  dedupIdentity: 'uuid',
  lineBytesMax: 1_000_000,
  skewMsMin: 5000,
}

export type Exchange<S extends Submission> = {
  protocol: Protocol<S>
  normalise(request: IngestRequest, submission: NoInfer<S>, context: NormaliseContext): Normalised
}

/** Runs a request through a contract. Every valid event counts as stored. */
export function exchange<S extends Submission>(
  { protocol, normalise }: Exchange<S>,
  request: IngestRequest,
  value: unknown,
): { status: number; body: unknown; reply: Reply } {
  const reply = toReply()
  return { status: reply.status, body: JSON.parse(reply.body ?? 'null'), reply }

  function toReply(): Reply {
    try {
      const submission = protocol.parse(request, { value, decodedBytes: 2 })
      const { events, rejections, refusal } = normalise(request, submission, context)
      if (refusal) return protocol.refuse(toRequestError(refusal), request)
      const outcome = { events, rejections, duplicates: 0, quotaLimited: [], overQuota: [] }
      return protocol.reply(request, submission, outcome)
    } catch (error) {
      if (error instanceof IngestError) return protocol.refuse(error, request)
      throw error
    }
  }
}

/** The parts of a reply to a refused request that every contract has. */
export function refusal<S extends Submission>(
  protocol: Protocol<S>,
  error: IngestError,
  path = '/',
): { status: number; body: unknown; headers: Record<string, string> } {
  const { status, body, headers = {} } = protocol.refuse(error, toRequest({ path }))
  return { status, body: JSON.parse(body ?? 'null'), headers }
}
