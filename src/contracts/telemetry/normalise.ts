import type { Fault } from '../../core/errors.ts'
import type { CanonicalEvent, Rejection } from '../../core/event.ts'
import type { IngestRequest, Normalised } from '../../core/protocol.ts'
import { identify, toClientUuid } from '../shared/event-id.ts'
import { toHeaderText } from '../shared/headers.ts'
import { isJsonObject, type Json, toFiniteNumber, toNumberText } from '../shared/json.ts'
import { isLongerThan } from '../shared/text.ts'
import { toPlausibleTime } from '../shared/time.ts'
import type { TelemetrySubmission } from './protocol.ts'

/**
 * Converts telemetry events one by one. A bad event is rejected with its first fault
 * (missing_field, invalid_field, invalid_event). Never throws. See docs/contracts/telemetry.md.
 */
export function normaliseTelemetry(
  { headers, receivedMs, clientIp }: IngestRequest,
  { events: raws }: Pick<TelemetrySubmission, 'events'>,
): Normalised {
  const userAgent = toHeaderText(headers, 'user-agent')
  const sender = { receivedMs, clientIp, userAgent }
  const events: CanonicalEvent[] = []
  const rejections: Rejection[] = []
  for (const [index, raw] of raws.entries()) {
    const fault = toFault(raw)
    if (fault) rejections.push({ index, ...fault, raw })
    else events.push(toEvent(raw as TelemetryEvent, sender))
  }
  return { events, rejections, dropped: 0 }
}

const textLengthMax = 200
const types = ['page', 'custom', 'error', 'api', 'perf']

/** An event without faults. */
type TelemetryEvent = {
  id: string
  type: string
  name: string
  /** A number, or a `JSON.rawJSON` object if a double cannot hold it. */
  ts: number | object
  app: string
  release: string
  sessionId: string
  user?: Json | null
  props?: Json | null
}

function toFault(raw: unknown): Fault | undefined {
  if (!isJsonObject(raw)) return { code: 'invalid_event', message: 'an event must be an object' }
  for (const { field, isValid, rule } of rules) {
    if (!isValid(raw[field])) return toFieldFault(raw, field, rule)
  }
  return undefined
}

function toFieldFault(raw: Json, field: string, rule: string): Fault {
  const isMissing = raw[field] === undefined || raw[field] === null
  return { code: isMissing ? 'missing_field' : 'invalid_field', message: `${field} ${rule}`, field }
}

type Rule = { field: string; isValid(value: unknown): boolean; rule: string }

const toTextRule = (field: string): Rule => ({
  field,
  isValid: (value) =>
    typeof value === 'string' && value !== '' && !isLongerThan(value, textLengthMax),
  rule: `must be a string of 1 to ${textLengthMax} characters`,
})

const toObjectRule = (field: string): Rule => ({
  field,
  isValid: (value) => value === undefined || value === null || isJsonObject(value),
  rule: 'must be an object',
})

/** In the order of the fields in the contract. */
const rules: readonly Rule[] = [
  toTextRule('id'),
  {
    field: 'type',
    isValid: (value) => types.includes(value as string),
    rule: `must be one of ${types.join(', ')}`,
  },
  toTextRule('name'),
  {
    field: 'ts',
    isValid: (value) => toFiniteNumber(value) !== undefined,
    rule: 'must be a finite number, ms since 1970',
  },
  ...['app', 'release', 'sessionId'].map(toTextRule),
  ...['user', 'props'].map(toObjectRule),
]

type Sender = { receivedMs: number; clientIp: string; userAgent: string }

function toEvent(raw: TelemetryEvent, { receivedMs, clientIp, userAgent }: Sender): CanonicalEvent {
  const { dedupKey, uuid } = identify(['telemetry', raw.app, raw.id])
  const distinctId = toUserId(raw.user) || raw.sessionId
  return {
    kind: 'event',
    row: {
      uuid: toClientUuid(raw.id) ?? uuid,
      project: raw.app,
      source: 'telemetry',
      event: raw.name,
      distinct_id: distinctId,
      session_id: raw.sessionId,
      timestamp: toPlausibleTime(toFiniteNumber(raw.ts) ?? receivedMs, receivedMs),
      received_at: receivedMs,
      ip: clientIp,
      user_agent: userAgent,
      library: '',
      properties: JSON.stringify({ ...raw.props, $type: raw.type, $release: raw.release }),
      user: raw.user ? JSON.stringify(raw.user) : '{}',
      historical: false,
    },
    route: 'main',
    category: 'events',
    key: `${raw.app}:${distinctId}`,
    dedupKey,
  }
}

/** Some clients send a number as user id. Its text is the id. */
function toUserId(user: Json | null | undefined): string {
  const id = user?.id
  return typeof id === 'string' ? id : (toNumberText(id) ?? '')
}
