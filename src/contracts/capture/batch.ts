import type { ErrorCode } from '../../core/errors.ts'
import type { Rejection } from '../../core/event.ts'
import { eventBytesMax } from '../../core/limits.ts'
import type { IngestRequest, NormaliseContext } from '../../core/protocol.ts'
import { cutText } from '../shared/text.ts'
import { parseSentAt } from '../shared/time.ts'

/** What the capture protocol found in a request, as far as it matters here. */
export type CaptureEvents = {
  credential: string
  events: readonly unknown[]
  sentAt: unknown
  isHistorical: boolean
  decodedBytes: number
}

/** All that the events of one request share. */
export type Intake = {
  token: string
  project: string
  dedupIdentity: NormaliseContext['dedupIdentity']
  lineBytesMax: number
  receivedMs: number
  sentAtMs: number | undefined
  clientIp: string
  userAgent: string
  isHistorical: boolean
  /** `/engage` takes events without a name. */
  isEngage: boolean
  /** Only a body beyond the limit of one event can hold one that exceeds it. */
  isMeasured: boolean
}

export type Fault = { code: ErrorCode; message: string }

export function toIntake(
  request: IngestRequest,
  submission: CaptureEvents,
  context: NormaliseContext,
): Intake {
  return {
    token: submission.credential,
    project: context.project.id,
    dedupIdentity: context.dedupIdentity,
    lineBytesMax: context.lineBytesMax,
    receivedMs: request.receivedMs,
    sentAtMs: parseSentAt(submission.sentAt),
    clientIp: request.clientIp,
    userAgent: cutText(request.headers.get('user-agent') ?? '', userAgentLengthMax),
    isHistorical: submission.isHistorical,
    isEngage: request.path === '/engage',
    isMeasured: submission.decodedBytes > eventBytesMax,
  }
}

/** It is repeated in every row, and no browser's is longer. */
const userAgentLengthMax = 1024

/**
 * Judges events one by one: a bad one does not sink the others. Performance events are dropped
 * unseen.
 */
export function sift<T extends object>(
  raws: readonly unknown[],
  judge: (raw: unknown) => T | Fault,
): { accepted: T[]; rejections: Rejection[]; dropped: number } {
  const accepted: T[] = []
  const rejections: Rejection[] = []
  let dropped = 0
  for (let index = 0; index < raws.length; index += 1) {
    const raw = raws[index]
    if (isDropped(raw)) {
      dropped += 1
      continue
    }
    const verdict = judge(raw)
    if ('code' in verdict) {
      rejections.push({ index, code: verdict.code, message: verdict.message, raw })
    } else accepted.push(verdict)
  }
  return { accepted, rejections, dropped }
}

function isDropped(raw: unknown): boolean {
  return (raw as { event?: unknown } | null | undefined)?.event === '$performance_event'
}
