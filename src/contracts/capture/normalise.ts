import type { Fault } from '../../core/errors.ts'
import type { CanonicalEvent, EventRow, JsonText } from '../../core/event.ts'
import { eventBytesMax, eventNameLengthMax } from '../../core/limits.ts'
import type { IngestRequest, NormaliseContext, Normalised } from '../../core/protocol.ts'
import { toClientUuid, toDedupKey, toUuid } from '../shared/event-id.ts'
import { isJsonObject, type Json } from '../shared/json.ts'
import { isLongerThan } from '../shared/text.ts'
import { toAltered, toPropertiesJson } from '../shared/warnings.ts'
import { type CaptureBatch, partitionValid, toCaptureBatch } from './batch.ts'
import type { CaptureSubmission } from './protocol.ts'
import {
  type RawEvent,
  toIp,
  toRawEvent,
  toShortText,
  toStoredId,
  toTimestamp,
} from './raw-event.ts'
import { toEventWarnings } from './warnings.ts'

/**
 * Converts events of the capture contract to rows of `events`. Never throws. See
 * docs/contracts/capture.md.
 */
export function normaliseCapture(
  request: IngestRequest,
  submission: CaptureSubmission,
  context: NormaliseContext,
): Normalised {
  const batch = toCaptureBatch(request, submission, context)
  return partitionValid(submission.events, (raw) => toEvent(raw, batch))
}

/** One event of a batch, or the reason to reject it. */
export function toEvent(raw: unknown, batch: CaptureBatch): CanonicalEvent | Fault {
  if (batch.isMeasured && isTooLarge(raw)) return tooLarge
  const parsed = toRawEvent(raw)
  if ('code' in parsed) return parsed
  const event = toEventName(parsed.root.event, batch.isEngage)
  return typeof event === 'string' ? toCanonical(parsed, event, batch) : event
}

function toCanonical(raw: RawEvent, name: string, batch: CaptureBatch): CanonicalEvent {
  const { root, properties } = raw
  const event = name.toWellFormed()
  const distinctId = toStoredId(raw.distinctId)
  const content = { properties: JSON.stringify(properties), user: toUser(root, properties) }
  const uuid = toClientUuid(root.uuid)
  const identity = { scope: batch.identityScope, distinctId, event, uuid, sent: root }
  const own = toDedupKey(identity, batch.dedupIdentity)
  const isNumbered = own !== undefined && uuid === undefined
  const dedupKey = isNumbered ? (batch.toNumbered?.(own, content) ?? own) : own
  const row: EventRow = {
    uuid: toUuid(uuid, dedupKey),
    project: batch.project,
    source: 'capture',
    event,
    distinct_id: distinctId,
    session_id: toShortText(properties.$session_id),
    timestamp: toTimestamp(raw, batch),
    received_at: batch.receivedMs,
    ip: toIp(raw, batch),
    user_agent: batch.userAgent,
    library: toShortText(properties.$lib),
    properties: content.properties,
    user: content.user,
    historical: batch.isHistorical,
  }
  const warnings = toEventWarnings(raw, row, batch)
  if (warnings) row.properties = toPropertiesJson(properties, warnings)
  return {
    kind: 'event',
    row,
    properties,
    route: batch.isHistorical ? 'historical' : 'main',
    category: name === '$exception' ? 'exceptions' : 'events',
    key: `${row.project}:${distinctId}`,
    dedupKey,
    altered: toAltered(warnings),
  }
}

const tooLarge: Fault = {
  code: 'event_too_large',
  message: `an event is at most ${eventBytesMax} bytes of JSON`,
}
const missingName: Fault = { code: 'missing_event_name', message: 'an event needs a name' }
const invalidName: Fault = {
  code: 'invalid_event',
  message: 'the name of an event must be a string',
}
const nameTooLong: Fault = {
  code: 'event_name_too_long',
  message: `the name of an event is at most ${eventNameLengthMax} characters`,
}

function isTooLarge(raw: unknown): boolean {
  return Buffer.byteLength(JSON.stringify(raw) ?? '') > eventBytesMax
}

/** The name, or the reason to reject it. An event of `/engage` without a name is an `$identify`. */
function toEventName(name: unknown, isEngage: boolean): string | Fault {
  if (name === undefined || name === null || name === '') {
    return isEngage ? '$identify' : missingName
  }
  if (typeof name !== 'string') return invalidName
  return isLongerThan(name, eventNameLengthMax) ? nameTooLong : name
}

/** `$set` and `$set_once` as JSON, each from the event's root, else from its properties. */
function toUser(root: Json, properties: Json): JsonText {
  const $set = toObject(root.$set, properties.$set)
  const $set_once = toObject(root.$set_once, properties.$set_once)
  return $set || $set_once ? JSON.stringify({ $set, $set_once }) : '{}'
}

function toObject(first: unknown, second: unknown): Json | undefined {
  if (isJsonObject(first)) return first
  return isJsonObject(second) ? second : undefined
}
