import type { CodeCounts, Fault } from '../../core/errors.ts'
import type { Rejection } from '../../core/event.ts'
import { deadLettersMax, eventBytesMax } from '../../core/limits.ts'
import type { IngestRequest, NormaliseContext } from '../../core/protocol.ts'
import { createEventNumbering, type EventNumbering, toCaptureScope } from '../shared/event-id.ts'
import { toHeaderText } from '../shared/headers.ts'
import { parseSentAt, toSentAtWarning } from '../shared/time.ts'
import type { Warning } from '../shared/warnings.ts'
import type { CaptureSubmission } from './protocol.ts'

/** The values that all events of one capture request share. */
export type CaptureBatch = {
  project: string
  /** Contract and project, as the identity of every event contains them. */
  identityScope: string
  dedupIdentity: NormaliseContext['dedupIdentity']
  /** Absent if no two events of the request can need a number to tell them apart. */
  toNumbered: EventNumbering | undefined
  lineBytesMax: number
  /** A smaller difference between `sent_at` and the time of receipt is latency. */
  skewMsMin: number
  receivedMs: number
  sentAtMs: number | undefined
  /** The time of sending cannot be read, so no event of the request is corrected by it. */
  sentAtWarning: Warning | undefined
  clientIp: string
  userAgent: string
  isHistorical: boolean
  /** `/engage` accepts events without a name. */
  isEngage: boolean
  /**
   * Whether to measure each event. A body within the limit of one event cannot contain a larger
   * one.
   */
  isMeasured: boolean
}

export function toCaptureBatch(
  request: IngestRequest,
  submission: CaptureSubmission,
  context: NormaliseContext,
): CaptureBatch {
  const { project, dedupIdentity, lineBytesMax, skewMsMin } = context
  const isNumbered = dedupIdentity === 'uuid' && submission.events.length > 1
  const { sentAt } = submission
  return {
    project: project.id,
    identityScope: toCaptureScope(project.id),
    dedupIdentity,
    toNumbered: isNumbered ? createEventNumbering() : undefined,
    lineBytesMax,
    skewMsMin,
    receivedMs: request.receivedMs,
    sentAtMs: parseSentAt(sentAt),
    sentAtWarning: toSentAtWarning(sentAt),
    clientIp: request.clientIp,
    userAgent: toHeaderText(request.headers, 'user-agent'),
    isHistorical: submission.isHistorical,
    isEngage: request.path === '/engage',
    isMeasured: submission.decodedBytes > eventBytesMax,
  }
}

/**
 * Separates the valid events of a batch from the rejected ones: a bad event does not affect the
 * others. Lists the first 100 rejections and counts the others, so that they do not keep their
 * events in memory. Drops `$performance_event` events without validating them.
 */
export function partitionValid<T extends object>(
  raws: readonly unknown[],
  validate: (raw: unknown) => T | Fault,
): Partitioned<T> {
  const events: T[] = []
  const rejections: Rejection[] = []
  let moreRejected: CodeCounts | undefined
  let dropped = 0
  for (let index = 0; index < raws.length; index += 1) {
    const raw = raws[index]
    if (isDropped(raw)) {
      dropped += 1
      continue
    }
    const result = validate(raw)
    if (!('code' in result)) events.push(result)
    else if (rejections.length < deadLettersMax) rejections.push({ index, ...result, raw })
    else {
      moreRejected ??= {}
      moreRejected[result.code] = (moreRejected[result.code] ?? 0) + 1
    }
  }
  return { events, rejections, moreRejected, dropped }
}

type Partitioned<T> = {
  events: T[]
  rejections: Rejection[]
  moreRejected: CodeCounts | undefined
  dropped: number
}

/** Whether the contract ignores the event without an error. */
export function isDropped(raw: unknown): boolean {
  return (raw as { event?: unknown } | null | undefined)?.event === '$performance_event'
}
