import type { CanonicalEvent, EventRow, JsonText } from '../../core/event.ts'
import { eventBytesMax, eventNameLengthMax } from '../../core/limits.ts'
import type { IngestRequest, NormaliseContext, Normalised } from '../../core/protocol.ts'
import { toClientUuid, toDedupKey, toUuid } from '../shared/event-id.ts'
import { isLongerThan } from '../shared/text.ts'
import { type CaptureEvents, type Fault, type Intake, sift, toIntake } from './batch.ts'
import {
  isJsonObject,
  type Json,
  type RawEvent,
  toIp,
  toRawEvent,
  toShortText,
  toStoredId,
  toTimestamp,
} from './raw-event.ts'

/**
 * Events of the capture contract → rows of `events`. Never throws. Source: spec README, "Capture".
 */
export function normaliseCapture(
  request: IngestRequest,
  submission: CaptureEvents,
  context: NormaliseContext,
): Normalised {
  const intake = toIntake(request, submission, context)
  const sifted = sift(submission.events, (raw) => toEvent(raw, intake))
  return { events: sifted.accepted, rejections: sifted.rejections, dropped: sifted.dropped }
}

function toEvent(raw: unknown, intake: Intake): CanonicalEvent | Fault {
  if (intake.isMeasured && isTooLarge(raw)) return tooLarge
  const parsed = toRawEvent(raw)
  if ('code' in parsed) return parsed
  const event = toEventName(parsed.root.event, intake.isEngage)
  return typeof event === 'string' ? toCanonical(parsed, event, intake) : event
}

function toCanonical(raw: RawEvent, event: string, intake: Intake): CanonicalEvent {
  const { root, properties, distinctId } = raw
  const uuid = toClientUuid(root.uuid)
  const identity = { token: intake.token, distinctId, event, uuid, sent: root }
  const dedupKey = toDedupKey(identity, intake.dedupIdentity)
  const row: EventRow = {
    uuid: uuid ?? toUuid(dedupKey),
    project: intake.project,
    source: 'capture',
    event: event.toWellFormed(),
    distinct_id: toStoredId(distinctId),
    session_id: toShortText(properties.$session_id),
    timestamp: toTimestamp(raw, intake),
    received_at: intake.receivedMs,
    ip: toIp(raw, intake),
    user_agent: intake.userAgent,
    library: toShortText(properties.$lib),
    properties: JSON.stringify(properties),
    user: toUser(root, properties),
    historical: intake.isHistorical,
  }
  return {
    kind: 'event',
    row,
    route: intake.isHistorical ? 'historical' : 'main',
    category: event === '$exception' ? 'exceptions' : 'events',
    key: `${row.project}:${row.distinct_id}`,
    dedupKey,
  }
}

const tooLarge: Fault = {
  code: 'event_too_large',
  message: `an event is at most ${eventBytesMax} bytes of JSON`,
}
const nameless: Fault = { code: 'missing_event_name', message: 'an event needs a name' }
const nameOff: Fault = { code: 'invalid_event', message: 'the name of an event must be a string' }
const nameTooLong: Fault = {
  code: 'event_name_too_long',
  message: `the name of an event is at most ${eventNameLengthMax} characters`,
}

function isTooLarge(raw: unknown): boolean {
  return Buffer.byteLength(JSON.stringify(raw) ?? '') > eventBytesMax
}

/** The name, or why it is none. What `/engage` sends without one identifies a person. */
function toEventName(name: unknown, isEngage: boolean): string | Fault {
  if (name === undefined || name === null || name === '') return isEngage ? '$identify' : nameless
  if (typeof name !== 'string') return nameOff
  return isLongerThan(name, eventNameLengthMax) ? nameTooLong : name
}

/** What the event says of its person, from the event's root or else its properties. */
function toUser(root: Json, properties: Json): JsonText {
  const $set = toObject(root.$set, properties.$set)
  const $set_once = toObject(root.$set_once, properties.$set_once)
  return $set || $set_once ? JSON.stringify({ $set, $set_once }) : '{}'
}

function toObject(first: unknown, second: unknown): Json | undefined {
  if (isJsonObject(first)) return first
  return isJsonObject(second) ? second : undefined
}
