import { type Fault, IngestError, statusOf } from '../../core/errors.ts'
import type { Rejection } from '../../core/event.ts'
import { bodyBytesMax, recordingBodyBytesMax } from '../../core/limits.ts'
import type {
  DecodedBody,
  DecodeRules,
  IngestRequest,
  Outcome,
  Protocol,
  Reply,
  Submission,
} from '../../core/protocol.ts'
import { isPersonalKey, tokenRule, toToken } from '../../core/token.ts'
import { toRetryAfter } from '../shared/headers.ts'
import { isJsonObject, type Json } from '../shared/json.ts'

/** Events: `/e /engage /track /capture /i/v0/e /batch`. See docs/contracts/capture.md. */
export const captureProtocol: Protocol<CaptureSubmission> = {
  name: 'capture',
  decode: toDecodeRules(bodyBytesMax),
  parse: parseCapture,
  reply: replyCapture,
  refuse: refuseCapture,
}

/** Session recordings: `/s /capture/recording`. Same requests and replies, but larger bodies. */
export const recordingProtocol: Protocol<CaptureSubmission> = {
  ...captureProtocol,
  decode: toDecodeRules(recordingBodyBytesMax),
}

export type CaptureSubmission = Submission & {
  /** The events as parsed JSON. Normalisation validates each of them. */
  events: readonly unknown[]
  /** The time of sending, as the client wrote it: from the body, else from the query. */
  sentAt: unknown
  /** `historical_migration` of the batch. */
  isHistorical: boolean
  /** Size of the whole decoded body. No event is larger. */
  decodedBytes: number
}

/**
 * Bounds memory: a row takes more of it than `{}` takes in a body. Equals 20 MB of events of 200
 * bytes.
 */
export const eventsMax = 100_000

function toDecodeRules(bytesMax: number): DecodeRules {
  return { bodyBytesMax: bytesMax, forms: true, base64: true }
}

/**
 * Throws invalid_batch, empty_batch, too_many_events, missing_token, invalid_token and
 * mixed_tokens.
 */
function parseCapture(request: IngestRequest, body: DecodedBody): CaptureSubmission {
  const root = isJsonObject(body.value) ? body.value : undefined
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

/** Accepts an array of events, a batch, or one event. */
function toEvents(value: unknown, root: Json | undefined): readonly unknown[] {
  if (Array.isArray(value)) return value
  if (root === undefined) {
    throw new IngestError('invalid_batch', 'the body is neither an event nor a batch of events')
  }
  if (Array.isArray(root.batch)) return root.batch
  if (root.batch === undefined || root.event !== undefined) return [root]
  throw new IngestError('invalid_batch', 'batch must be an array of events')
}

type TokenPlaces = {
  /** The batch that contains the events, if there is one. */
  root: Json | undefined
  events: readonly unknown[]
  /** May have a `Token` header. */
  headers: Headers
}

/**
 * Finds the one token of a request. The token of the batch applies to all events, else each event
 * has its own, and the `Token` header applies to events without one.
 */
function findToken({ root, events, headers }: TokenPlaces): string {
  const shared = root && toRootToken(root)
  let token: unknown = shared
  let isMissing = false
  for (const event of events) {
    if (typeof event !== 'object' || event === null) continue
    const own = toRootToken(event) || (shared ? undefined : toPropertyToken(event))
    if (!own) isMissing = true
    else if (!token) token = own
    else if (!isSameToken(own, token)) throw mixedTokens()
  }
  if (shared || (token && !isMissing)) return parseToken(token)
  const header = headers.get('token')
  if (header && token && !isSameToken(header, token)) throw mixedTokens()
  return parseToken(token || header)
}

type TokenFields = { token?: unknown; $token?: unknown; api_key?: unknown; properties?: unknown }

/** An empty string counts as absent. */
function toRootToken({ token, $token, api_key }: TokenFields): unknown {
  return token || $token || api_key
}

/** `properties.token` may be a property of the client's own, so only a string counts as a token. */
function toPropertyToken({ properties }: TokenFields): string | undefined {
  const token = (properties as TokenFields | null | undefined)?.token
  return typeof token === 'string' ? token : undefined
}

/** Compares as written first: the events of a request nearly always write their token alike. */
function isSameToken(one: unknown, other: unknown): boolean {
  if (one === other) return true
  if (typeof one !== 'string' || typeof other !== 'string') return false
  const token = toToken(one)
  return token !== undefined && token === toToken(other)
}

function parseToken(written: unknown): string {
  if (!written) {
    throw new IngestError('missing_token', 'no token in body, properties or Token header')
  }
  const token = typeof written === 'string' ? toToken(written) : undefined
  if (token !== undefined) return token
  if (typeof written === 'string' && isPersonalKey(written)) {
    throw new IngestError('invalid_token', 'this is a personal API key; send the project token')
  }
  throw new IngestError('invalid_token', `a token is ${tokenRule}`)
}

function mixedTokens(): IngestError {
  return new IngestError('mixed_tokens', 'the events of one request must carry one token')
}

/**
 * 200 and `{"code":1,"status":"ok"}`, with the exhausted quotas and the rejected events if there
 * are any: the first 100, and then the number of all. PostHog clients treat any other 2xx as a failure. `?beacon=1` gets 204: a beacon's reply
 * is not read.
 */
function replyCapture(
  request: IngestRequest,
  submission: Submission,
  { rejections, moreRejected = 0, quotaLimited }: Outcome,
): Reply {
  const first = rejections[0]
  const rejectedCount = rejections.length + moreRejected
  if (first && rejectedCount === submission.received) return toErrorReply(first)
  if (request.query.get('beacon') === '1') return beaconReply
  if (!first && quotaLimited.length === 0) return okReply
  const body = {
    code: 1,
    status: 'ok',
    quota_limited: quotaLimited.length > 0 ? quotaLimited : undefined,
    rejected: first ? rejections.map(toRejectedEntry) : undefined,
    rejected_count: moreRejected > 0 ? rejectedCount : undefined,
  }
  return { status: 200, body: JSON.stringify(body) }
}

function refuseCapture(error: IngestError): Reply {
  return { ...toErrorReply(error), headers: toRetryAfter(error) }
}

const okReply: Reply = { status: 200, body: '{"code":1,"status":"ok"}' }
const beaconReply: Reply = { status: 204, body: null }

const toRejectedEntry = ({ index, code }: Rejection) => ({ index, error: code })

/** posthog-python reads `detail`. */
function toErrorReply({ code, message }: Fault): Reply {
  const body = { code: 0, status: 'error', error: code, detail: message }
  return { status: statusOf[code], body: JSON.stringify(body) }
}
