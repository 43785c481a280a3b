import type { Fault } from '../../core/errors.ts'
import { distinctIdLengthMax, shortTextLengthMax } from '../../core/limits.ts'
import { fromPhp, isJsonObject, type Json } from '../shared/json.ts'
import { cutText } from '../shared/text.ts'
import { type ClientTime, correctTimestamp, parseSentAt } from '../shared/time.ts'
import type { CaptureBatch } from './batch.ts'

/** A client's event whose shape is valid. */
export type RawEvent = {
  root: Json
  properties: Json
  /** As sent. The stored one is cut, see `toStoredId`. */
  distinctId: string
}

/** Validates all but the name. Faults: invalid_event, invalid_properties, missing_distinct_id. */
export function toRawEvent(raw: unknown): RawEvent | Fault {
  if (!isJsonObject(raw)) return notAnObject
  const properties = fromPhp(raw.properties ?? noProperties)
  if (!isJsonObject(properties)) return invalidProperties
  const distinctId = toDistinctId(raw, properties)
  return distinctId === '' ? missingDistinctId : { root: raw, properties, distinctId }
}

/** The `distinct_id` that is stored and used as Kafka key. */
export function toStoredId(distinctId: string): string {
  return cutText(distinctId, distinctIdLengthMax).toWellFormed()
}

/**
 * The event's time by the server's clock, in ms. Events of a recording carry `sent_at` of their
 * own.
 */
export function toTimestamp(raw: RawEvent, batch: CaptureBatch): number {
  return correctTimestamp(toClientTime(raw, batch), batch.receivedMs)
}

export function toClientTime({ root, properties }: RawEvent, batch: CaptureBatch): ClientTime {
  const ownMs = root.sent_at === undefined ? undefined : parseSentAt(root.sent_at)
  return {
    timestamp: root.timestamp,
    offset: root.offset,
    sentAtMs: ownMs ?? batch.sentAtMs,
    isAsSent: batch.isHistorical,
    ignoreSentAt: properties.$ignore_sent_at === true,
    skewMsMin: batch.skewMsMin,
  }
}

export function toIp({ root, properties }: RawEvent, batch: CaptureBatch): string {
  return toShortText(root.ip) || toShortText(properties.$ip) || batch.clientIp
}

/**
 * A string, cut at 200 characters; empty for any other value. No known client sends a longer one.
 */
export function toShortText(value: unknown): string {
  return typeof value === 'string' ? cutText(value, shortTextLengthMax) : ''
}

const noProperties: Json = Object.freeze({})

const notAnObject: Fault = { code: 'invalid_event', message: 'an event must be an object' }
const invalidProperties: Fault = {
  code: 'invalid_properties',
  message: 'properties must be an object',
}
const missingDistinctId: Fault = {
  code: 'missing_distinct_id',
  message: 'an event needs distinct_id, $distinct_id or properties.distinct_id',
}

function toDistinctId(root: Json, properties: Json): string {
  return (
    toIdText(root.distinct_id) || toIdText(root.$distinct_id) || toIdText(properties.distinct_id)
  )
}

/** Some clients send a number or an object. Its JSON text is the id. */
function toIdText(value: unknown): string {
  if (typeof value === 'string') return value
  return value === undefined || value === null ? '' : (JSON.stringify(value) ?? '')
}
