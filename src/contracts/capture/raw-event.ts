import { distinctIdLengthMax } from '../../core/limits.ts'
import { cutText } from '../shared/text.ts'
import { correctTimestamp, parseSentAt } from '../shared/time.ts'
import type { Fault, Intake } from './batch.ts'

export type Json = Record<string, unknown>

/** A client's event, once it is known to be one. */
export type RawEvent = {
  root: Json
  properties: Json
  /** As sent; what is stored is cut. */
  distinctId: string
}

/**
 * An event of any name, or why it is none: invalid_event, invalid_properties, missing_distinct_id.
 */
export function toRawEvent(raw: unknown): RawEvent | Fault {
  if (!isJsonObject(raw)) return notAnEvent
  const properties = raw.properties ?? noProperties
  if (!isJsonObject(properties)) return propertiesOff
  const distinctId = toDistinctId(raw, properties)
  return distinctId === '' ? noDistinctId : { root: raw, properties, distinctId }
}

/** A JSON object that is neither an array nor a number kept exact. */
export function isJsonObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !isRawJSON(value)
}

/** What is stored and sent as `distinct_id`. */
export function toStoredId(distinctId: string): string {
  return cutText(distinctId, distinctIdLengthMax).toWellFormed()
}

/** By our clock, in ms. Recordings tell `sent_at` per event. */
export function toTimestamp({ root, properties }: RawEvent, intake: Intake): number {
  const ownMs = root.sent_at === undefined ? undefined : parseSentAt(root.sent_at)
  return correctTimestamp(
    {
      timestamp: root.timestamp,
      offset: root.offset,
      sentAtMs: ownMs ?? intake.sentAtMs,
      ignoreSentAt: properties.$ignore_sent_at === true,
    },
    intake.receivedMs,
  )
}

export function toIp({ root, properties }: RawEvent, intake: Intake): string {
  return toShortText(root.ip) || toShortText(properties.$ip) || intake.clientIp
}

/** A string cut at a length that no honest client exceeds; all else is empty. */
export function toShortText(value: unknown): string {
  return typeof value === 'string' ? cutText(value, shortLengthMax) : ''
}

const shortLengthMax = 200
const noProperties: Json = Object.freeze({})

const notAnEvent: Fault = { code: 'invalid_event', message: 'an event must be an object' }
const propertiesOff: Fault = {
  code: 'invalid_properties',
  message: 'properties must be an object',
}
const noDistinctId: Fault = {
  code: 'missing_distinct_id',
  message: 'an event needs distinct_id, $distinct_id or properties.distinct_id',
}

const { isRawJSON } = JSON as unknown as { isRawJSON(value: unknown): boolean }

function toDistinctId(root: Json, properties: Json): string {
  return (
    toIdText(root.distinct_id) || toIdText(root.$distinct_id) || toIdText(properties.distinct_id)
  )
}

/** Clients send numbers and even objects: their JSON is as good an id as any. */
function toIdText(value: unknown): string {
  if (typeof value === 'string') return value
  return value === undefined || value === null ? '' : (JSON.stringify(value) ?? '')
}
