import { IngestError } from '../../core/errors.ts'
import { bodyBytesMax, recordingBodyBytesMax } from '../../core/limits.ts'
import type {
  DecodedBody,
  DecodeRules,
  IngestRequest,
  Protocol,
  Submission,
} from '../../core/protocol.ts'
import { refuseCapture, replyCapture } from './capture-reply.ts'
import { findToken } from './token.ts'

/** Events: `/e /engage /track /capture /i/v0/e /batch`. Source: spec README, "Capture". */
export const captureProtocol: Protocol<CaptureSubmission> = {
  name: 'capture',
  decode: toDecodeRules(bodyBytesMax),
  parse: parseCapture,
  reply: replyCapture,
  refuse: refuseCapture,
}

/** Session recordings: `/s /capture/recording`. The same words, but larger bodies. */
export const recordingProtocol: Protocol<CaptureSubmission> = {
  ...captureProtocol,
  decode: toDecodeRules(recordingBodyBytesMax),
}

export type CaptureSubmission = Submission & {
  /** What the request holds, as parsed: each is judged on its own, later. */
  events: readonly unknown[]
  /**
   * When the client says it sent the request: the body's word, else the query's. Not yet a time.
   */
  sentAt: unknown
  /** The client migrates its history. */
  isHistorical: boolean
  /** Of the whole body, unpacked. No event is larger. */
  decodedBytes: number
}

/** Rows weigh more in memory than `{}` does in a body: 20 MB of events of 200 bytes each. */
const eventsMax = 100_000

function toDecodeRules(bytesMax: number): DecodeRules {
  return { bodyBytesMax: bytesMax, forms: true, base64: true }
}

/**
 * Throws invalid_batch, empty_batch, too_many_events, missing_token, invalid_token and
 * mixed_tokens.
 */
function parseCapture(request: IngestRequest, body: DecodedBody): CaptureSubmission {
  const root = isRecord(body.value) ? body.value : undefined
  const events = toEvents(body.value, root)
  if (events.length === 0) throw new IngestError('empty_batch', 'the batch holds no event')
  if (events.length > eventsMax) {
    throw new IngestError('too_many_events', `a request holds at most ${eventsMax} events`)
  }
  const { headers, query } = request
  const isBatch = root !== undefined && events === root.batch
  return {
    credential: findToken({ root: isBatch ? root : undefined, events, headers }),
    received: events.length,
    events,
    sentAt: root?.sent_at || query.get('sent_at') || query.get('_'),
    isHistorical: root?.historical_migration === true,
    decodedBytes: body.decodedBytes,
  }
}

type Json = Record<string, unknown>

/** An array of events, a batch, or one event. */
function toEvents(value: unknown, root: Json | undefined): readonly unknown[] {
  if (Array.isArray(value)) return value
  if (root === undefined) {
    throw new IngestError('invalid_batch', 'the body is neither an event nor a batch of events')
  }
  if (Array.isArray(root.batch)) return root.batch
  if (root.batch === undefined || root.event !== undefined) return [root]
  throw new IngestError('invalid_batch', 'batch must be an array of events')
}

function isRecord(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
