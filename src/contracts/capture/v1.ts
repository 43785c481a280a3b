import { type Fault, IngestError, type RequestFault } from '../../core/errors.ts'
import type { CanonicalEvent, Rejection } from '../../core/event.ts'
import { bodyBytesMax, distinctIdLengthMax } from '../../core/limits.ts'
import type {
  Contract,
  DecodedBody,
  IngestRequest,
  NormaliseContext,
  Normalised,
  Outcome,
  Reply,
} from '../../core/protocol.ts'
import { SeededMap } from '../../core/seeded-map.ts'
import { isPersonalKey, tokenRule, toToken } from '../../core/token.ts'
import { toClientUuid } from '../shared/event-id.ts'
import { toRetryAfter } from '../shared/headers.ts'
import { isJsonObject, type Json, toNumberText } from '../shared/json.ts'
import { refuseAll } from '../shared/refuse-all.ts'
import { isLongerThan } from '../shared/text.ts'
import { parseTime } from '../shared/time.ts'
import { isDropped, toCaptureBatch } from './batch.ts'
import { toEvent } from './normalise.ts'
import { type CaptureSubmission, eventsMax } from './protocol.ts'

/**
 * `POST /i/v1/analytics/events`: the endpoint of the newer server SDKs. The reply has one result
 * for each event. Events are stored as those of the other capture routes, also under the same
 * identity. See docs/contracts/capture.md.
 */
export const captureV1: Omit<Contract<CaptureV1Submission>, 'key'> = {
  name: 'capture',
  decode: { bodyBytesMax, forms: false, base64: false },
  assertHead,
  parse: parseV1,
  normalise: normaliseV1,
  reply: replyV1,
  refuse: refuseV1,
}

type CaptureV1Submission = Omit<CaptureSubmission, 'events'> & {
  events: readonly Json[]
  /** The uuid of each event, as sent. The client looks up its results by it. Empty after a fault. */
  uuids: readonly string[]
}

const encodings = new Set(['identity', 'gzip', 'deflate', 'br', 'zstd'])

/** Throws missing_token, invalid_token, unsupported_content_type and unsupported_encoding. */
function assertHead({ headers }: Pick<IngestRequest, 'headers'>): void {
  parseBearer(headers)
  const type = headers.get('content-type')?.split(';')[0]?.trim().toLowerCase()
  if (type !== 'application/json') {
    throw new IngestError('unsupported_content_type', 'the content type must be application/json')
  }
  const encoding = headers.get('content-encoding')?.trim().toLowerCase()
  if (encoding !== undefined && !encodings.has(encoding)) {
    const message = 'the content encoding must be gzip, deflate, br or zstd'
    throw new IngestError('unsupported_encoding', message)
  }
}

function parseBearer(headers: Headers): string {
  const [, written] = /^bearer\s+(.*)$/i.exec(headers.get('authorization') ?? '') ?? []
  if (!written) {
    throw new IngestError('missing_token', 'the request needs Authorization: Bearer <token>')
  }
  const token = toToken(written)
  if (token !== undefined) return token
  const isPersonal = isPersonalKey(written)
  const reason = isPersonal ? 'this is a personal API key' : `a token is ${tokenRule}`
  throw new IngestError('invalid_token', reason)
}

/**
 * Throws invalid_batch, empty_batch and too_many_events. The faults of a batch whose events can be
 * read are invalid_batch, missing_event_uuid and duplicate_event_uuid: without one uuid for each
 * event the reply could not name its events.
 */
function parseV1(
  request: IngestRequest,
  { value, decodedBytes }: DecodedBody,
): CaptureV1Submission {
  const { created_at, batch, historical_migration }: Json = isJsonObject(value) ? value : {}
  if (!Array.isArray(batch)) throw new IngestError('invalid_batch', 'batch must be an array')
  if (batch.length === 0) throw new IngestError('empty_batch', 'the batch holds no event')
  if (batch.length > eventsMax) {
    throw new IngestError('too_many_events', `a request holds at most ${eventsMax} events`)
  }
  const isDated = typeof created_at === 'string' && parseTime(created_at) !== undefined
  const uuids = isDated ? readUuids(batch) : undatedBatch
  return {
    credential: parseBearer(request.headers),
    received: batch.length,
    events: batch as readonly Json[],
    ...('code' in uuids ? { uuids: [], fault: uuids } : { uuids }),
    sentAt: request.headers.get('posthog-request-timestamp') ?? undefined,
    isHistorical: historical_migration === true,
    decodedBytes,
  }
}

const toFault = (code: RequestFault['code'], message: string) => ({ code, message, details: {} })

const undatedBatch = toFault('invalid_batch', 'created_at must be a time in RFC 3339')

/** The uuids as sent, or the first fault. */
function readUuids(batch: readonly unknown[]): string[] | RequestFault {
  const known = new SeededMap<true>()
  const uuids: string[] = []
  for (const [index, event] of batch.entries()) {
    if (!isJsonObject(event)) return toFault('invalid_batch', `batch[${index}] is not an object`)
    const sent = typeof event.uuid === 'string' ? event.uuid : ''
    const uuid = toClientUuid(sent.trim())
    if (uuid === undefined) {
      return toFault('missing_event_uuid', `batch[${index}].uuid is not a uuid`)
    }
    if (known.add(uuid, true)) {
      return toFault('duplicate_event_uuid', `two events of the batch have uuid ${uuid}`)
    }
    uuids.push(sent)
  }
  return uuids
}

/**
 * Judges each event by the rules of v1, then by those of capture. Lists all rejections, because the
 * reply names each event.
 */
function normaliseV1(
  request: IngestRequest,
  submission: CaptureV1Submission,
  context: NormaliseContext,
): Normalised {
  if (submission.fault) return refuseAll(submission.events, submission.fault)
  const batch = toCaptureBatch(request, submission, context)
  const sdk = toSdk(request.headers)
  const events: CanonicalEvent[] = []
  const rejections: Rejection[] = []
  let dropped = 0
  submission.events.forEach((raw, index) => {
    if (isDropped(raw)) {
      dropped += 1
      return
    }
    const judged = toCaptureEvent(raw, sdk)
    const result = 'code' in judged ? (judged as Fault) : toEvent(judged, batch)
    if ('code' in result) rejections.push({ index, ...result, raw })
    else {
      // The stored uuid is not always the client's, so the reply finds the event by its position.
      result.index = index
      events.push(result)
    }
  })
  return { events, rejections, dropped }
}

/** `PostHog-Sdk-Info: <name>/<version>` as properties. Empty if the header is absent or malformed. */
function toSdk(headers: Headers): Json {
  const info = headers.get('posthog-sdk-info') ?? ''
  const slash = info.lastIndexOf('/')
  const $lib = info.slice(0, Math.max(0, slash)).trim()
  const $lib_version = info.slice(slash + 1).trim()
  const isSound = $lib !== '' && $lib_version !== '' && info.length <= sdkInfoLengthMax
  return isSound ? { $lib, $lib_version } : {}
}

const sdkInfoLengthMax = 256

/**
 * The event as the other capture routes take it. Fields and options that v1 has moved out of the
 * properties go back, so that queries need not know by which endpoint an event came.
 */
function toCaptureEvent(raw: Json, sdk: Json): Json | Fault {
  const { event, uuid, distinct_id, timestamp, properties = {} } = raw
  const distinctId = toIdText(distinct_id)?.trim() ?? ''
  if (distinctId === '') return missingDistinctId
  if (isLongerThan(distinctId, distinctIdLengthMax)) return distinctIdTooLarge
  if (parseTime(timestamp) === undefined) return invalidTimestamp
  if (!isJsonObject(properties)) return invalidProperties
  const options = toOptions(raw.options)
  if (options === undefined) return invalidOptions
  const ids: Json = {}
  if (typeof raw.session_id === 'string') ids.$session_id = raw.session_id
  if (typeof raw.window_id === 'string') ids.$window_id = raw.window_id
  return {
    event,
    uuid: (uuid as string).trim(),
    distinct_id: distinctId,
    timestamp,
    properties: { ...properties, ...ids, ...options, ...sdk },
  }
}

/** The property of each option. Only `product_tour_id` is a text; the others are booleans. */
const optionProperties: readonly (readonly [string, string, (value: unknown) => unknown])[] = [
  ['cookieless_mode', '$cookieless_mode', toBoolean],
  ['disable_skew_correction', '$ignore_sent_at', toBoolean],
  ['product_tour_id', '$product_tour_id', toIdText],
  ['process_person_profile', '$process_person_profile', toBoolean],
]

/** Undefined if an option has another type. Unknown options and null are ignored. */
function toOptions(options: unknown): Json | undefined {
  const properties: Json = {}
  if (options === undefined || options === null) return properties
  if (!isJsonObject(options)) return undefined
  for (const [name, property, convert] of optionProperties) {
    const written = options[name]
    if (written === undefined || written === null) continue
    const value = convert(written)
    if (value === undefined) return undefined
    properties[property] = value
  }
  return properties
}

/** A Map, because a look-up in an object would keep each text that a client sends. */
const booleans = new Map(Object.entries({ true: true, '1': true, false: false, '0': false }))

/** SDKs of loosely typed languages write booleans as numbers or texts. */
function toBoolean(value: unknown): boolean | undefined {
  if (typeof value === 'boolean') return value
  if (typeof value === 'number') return value !== 0
  const text = typeof value === 'string' ? value.trim().toLowerCase() : ''
  return booleans.get(text)
}

function toIdText(value: unknown): string | undefined {
  return typeof value === 'string' ? value : toNumberText(value)
}

const missingDistinctId: Fault = {
  code: 'missing_distinct_id',
  message: 'an event needs distinct_id, a text or a number',
}
const distinctIdTooLarge: Fault = {
  code: 'distinct_id_too_large',
  message: `distinct_id is at most ${distinctIdLengthMax} characters`,
}
const invalidTimestamp: Fault = {
  code: 'invalid_event_timestamp',
  message: 'timestamp must be a time in RFC 3339',
}
const invalidProperties: Fault = {
  code: 'invalid_properties',
  message: 'properties must be an object',
}
const invalidOptions: Fault = {
  code: 'invalid_options',
  message: 'options must be an object of booleans, and product_tour_id a text',
}

/**
 * 200 with the result of each event by its uuid. `drop`: never send it again. `retry` does not
 * occur: a reply of 200 means that all other events are stored. Duplicates are `ok`. A request that
 * is refused may have stored some events if its body was large (docs/decisions/0024-body-thread.md).
 */
function replyV1(
  { headers }: IngestRequest,
  { uuids }: CaptureV1Submission,
  { rejections, overQuota }: Outcome,
): Reply {
  const reasons = new Map<number, string>()
  for (const { index, code } of rejections) reasons.set(index, toDetails(code))
  for (const { index } of overQuota) {
    if (index !== undefined) reasons.set(index, 'billing_limit_exceeded')
  }
  const results = uuids.map((uuid, index) => {
    const details = reasons.get(index)
    const result = details === undefined ? ok : `{"result":"drop","details":"${details}"}`
    return `${JSON.stringify(uuid)}:${result}`
  })
  const body = `{"results":{${results.join(',')}}}`
  return { status: 200, body, headers: toRequestId(headers) }
}

const ok = '{"result":"ok","details":null}'

/** Where v1 has another name for a code. */
const toDetails = (code: string) =>
  code === 'invalid_properties' ? 'malformed_event_properties' : code

function refuseV1(error: IngestError, { headers }: Pick<IngestRequest, 'headers'>): Reply {
  const body = { error: error.code, error_description: error.message, error_uri: errorUri }
  return {
    status: error.status,
    body: JSON.stringify(body),
    headers: { ...toRetryAfter(error), ...toRequestId(headers) },
  }
}

const errorUri = 'https://posthog.com/docs/api/capture'

/** The request id, if it has the form of a uuid. */
function toRequestId(headers: Headers): Record<string, string> {
  const id = headers.get('posthog-request-id') ?? ''
  return requestId.test(id) ? { 'posthog-request-id': id } : {}
}

const requestId = /^[0-9A-Fa-f-]{32,36}$/
