import { type ErrorCode, type IngestError, statusOf } from '../../core/errors.ts'
import type { Rejection } from '../../core/event.ts'
import type { IngestRequest, Outcome, Reply, Submission } from '../../core/protocol.ts'
import { toRetryAfter } from '../shared/retry-after.ts'

/**
 * 200 and `{"code":1,"status":"ok"}`, with what a quota dropped and which events were rejected.
 * Real clients take any other 2xx for a failure; the 204 is for `?beacon=1`, whose reply nobody
 * reads.
 */
export function replyCapture(
  request: IngestRequest,
  submission: Submission,
  { rejections, quotaLimited }: Outcome,
): Reply {
  const first = rejections[0]
  if (first && rejections.length === submission.received) return toErrorReply(first)
  if (request.query.get('beacon') === '1') return beaconReply
  if (!first && quotaLimited.length === 0) return okReply
  const body = {
    code: 1,
    status: 'ok',
    quota_limited: quotaLimited.length > 0 ? quotaLimited : undefined,
    rejected: first ? rejections.map(toRejected) : undefined,
  }
  return { status: 200, body: JSON.stringify(body) }
}

/** The same shape for every refusal, with `Retry-After` where trying again makes sense. */
export function refuseCapture(error: IngestError): Reply {
  return { ...toErrorReply(error), headers: toRetryAfter(error) }
}

const okReply: Reply = { status: 200, body: '{"code":1,"status":"ok"}' }
const beaconReply: Reply = { status: 204, body: null }

const toRejected = ({ index, code }: Rejection) => ({ index, error: code })

/** `detail` because a client library reads it. */
function toErrorReply({ code, message }: { code: ErrorCode; message: string }): Reply {
  const body = { code: 0, status: 'error', error: code, detail: message }
  return { status: statusOf[code], body: JSON.stringify(body) }
}
