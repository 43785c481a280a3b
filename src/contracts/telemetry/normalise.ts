import type { ErrorCode } from '../../core/errors.ts'
import type { CanonicalEvent, Rejection } from '../../core/event.ts'
import type { IngestRequest, Normalised } from '../../core/protocol.ts'
import { isJsonObject, type Json } from '../capture/raw-event.ts'
import { toClientUuid } from '../shared/event-id.ts'
import { toFiniteNumber, toNumberText } from '../shared/json.ts'
import { toPlausibleTime } from '../shared/plausible-time.ts'
import { cutText, isLongerThan } from '../shared/text.ts'
import { identify } from '../shared/uuid5.ts'

/**
 * Telemetry events → events, judged one by one: a bad one is rejected with its first fault (missing_field,
 * invalid_field, invalid_event). Source: bmt-platform-sdk.md, 1; spec README, "BMT platform SDK".
 */
export function normaliseTelemetry(
  { headers, receivedMs, clientIp }: IngestRequest,
  { events: raws }: { events: readonly unknown[] },
): Normalised {
  const userAgent = cutText(headers.get('user-agent') ?? '', userAgentLengthMax)
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

/** It is repeated in every row, and no browser's is longer. */
const userAgentLengthMax = 1024
const textLengthMax = 200
const types = ['page', 'custom', 'error', 'api', 'perf']

/** What is left once no fault was found. */
type TelemetryEvent = {
  id: string
  type: string
  name: string
  /** A number kept exact where a double cannot hold it. */
  ts: number | object
  app: string
  release: string
  sessionId: string
  user?: Json | null
  props?: Json | null
}

type Fault = { code: ErrorCode; message: string; field?: string }

function toFault(raw: unknown): Fault | undefined {
  if (!isJsonObject(raw)) return { code: 'invalid_event', message: 'an event must be an object' }
  for (const { field, isSound, rule } of rules) {
    if (!isSound(raw[field])) return toFieldFault(raw, field, rule)
  }
  return undefined
}

function toFieldFault(raw: Json, field: string, rule: string): Fault {
  const isMissing = raw[field] === undefined || raw[field] === null
  return { code: isMissing ? 'missing_field' : 'invalid_field', message: `${field} ${rule}`, field }
}

type Rule = { field: string; isSound(value: unknown): boolean; rule: string }

const toTextRule = (field: string): Rule => ({
  field,
  isSound: (value) =>
    typeof value === 'string' && value !== '' && !isLongerThan(value, textLengthMax),
  rule: `must be a string of 1 to ${textLengthMax} characters`,
})

const toObjectRule = (field: string): Rule => ({
  field,
  isSound: (value) => value === undefined || value === null || isJsonObject(value),
  rule: 'must be an object',
})

/** In the order of the contract's interface. */
const rules: readonly Rule[] = [
  toTextRule('id'),
  {
    field: 'type',
    isSound: (value) => types.includes(value as string),
    rule: `must be one of ${types.join(', ')}`,
  },
  toTextRule('name'),
  {
    field: 'ts',
    isSound: (value) => toFiniteNumber(value) !== undefined,
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

/** Some clients number their users. */
function toUserId(user: Json | null | undefined): string {
  const id = user?.id
  return typeof id === 'string' ? id : (toNumberText(id) ?? '')
}
