import type { Fault } from '../../core/errors.ts'
import type { CanonicalEvent, Rejection } from '../../core/event.ts'
import { columnBytesMax, shortTextLengthMax } from '../../core/limits.ts'
import type { IngestRequest, NormaliseContext, Normalised } from '../../core/protocol.ts'
import { identify, toClientUuid } from '../shared/event-id.ts'
import { toHeaderText } from '../shared/headers.ts'
import { fromPhp, isJsonObject, type Json, toFiniteNumber, toNumberText } from '../shared/json.ts'
import { isLargerThan, isLongerThan, isShortText } from '../shared/text.ts'
import { toPlausibleTime } from '../shared/time.ts'
import type { TelemetrySubmission } from './protocol.ts'

/**
 * Converts telemetry events one by one. A bad event is rejected with its first fault
 * (missing_field, invalid_field, invalid_event). Never throws. See docs/contracts/telemetry.md.
 */
export function normaliseTelemetry(
  { headers, receivedMs, clientIp }: IngestRequest,
  { events: raws }: Pick<TelemetrySubmission, 'events'>,
  { apps }: Pick<NormaliseContext, 'apps'> = {},
): Normalised {
  const userAgent = toHeaderText(headers, 'user-agent')
  const sender = { receivedMs, clientIp, userAgent }
  const events: CanonicalEvent[] = []
  const rejections: Rejection[] = []
  for (const [index, raw] of raws.entries()) {
    const { project, refusal } = toSender(raw, apps)
    const fault = toFault(raw) ?? refusal
    if (fault) rejections.push({ index, ...fault, raw, project })
    else events.push(toEvent(raw as TelemetryEvent, project, sender))
  }
  return { events, rejections, dropped: 0 }
}

/** The id of the event's project; empty if it has none, or may not send for it. */
function toSender(
  raw: unknown,
  apps: NormaliseContext['apps'],
): { project: string; refusal?: Fault | undefined } {
  const app = (raw as { app?: unknown } | null | undefined)?.app
  if (!isShortText(app)) return { project: '' }
  if (apps === undefined) return { project: app }
  const sender = apps.get(app)
  return sender && 'id' in sender ? { project: sender.id } : { project: '', refusal: sender }
}

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
  return raw.user ? toUserFault(raw.user as Json) : undefined
}

/** The id is a Kafka key, and the whole user is one column. */
function toUserFault(user: Json): Fault | undefined {
  if (isLongerThan(toUserId(user), shortTextLengthMax)) return longUserId
  return isLargerThan(JSON.stringify(user), columnBytesMax) ? largeUser : undefined
}

const longUserId: Fault = {
  code: 'invalid_field',
  field: 'user.id',
  message: `user.id must have at most ${shortTextLengthMax} characters`,
}
const largeUser: Fault = {
  code: 'invalid_field',
  field: 'user',
  message: `user must have at most ${columnBytesMax} bytes of JSON`,
}

function toFieldFault(raw: Json, field: string, rule: string): Fault {
  const isMissing = raw[field] === undefined || raw[field] === null
  return { code: isMissing ? 'missing_field' : 'invalid_field', message: `${field} ${rule}`, field }
}

type Rule = { field: string; isValid(value: unknown): boolean; rule: string }

const toTextRule = (field: string): Rule => ({
  field,
  isValid: isShortText,
  rule: `must be a string of 1 to ${shortTextLengthMax} characters`,
})

const toObjectRule = (field: string): Rule => ({
  field,
  isValid: (value) => value === undefined || value === null || isJsonObject(fromPhp(value)),
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

function toEvent(
  raw: TelemetryEvent,
  project: string,
  { receivedMs, clientIp, userAgent }: Sender,
): CanonicalEvent {
  const { dedupKey, uuid } = identify(['telemetry', project, raw.id])
  const distinctId = toUserId(raw.user) || raw.sessionId
  return {
    kind: 'event',
    row: {
      uuid: toClientUuid(raw.id) ?? uuid,
      project,
      source: 'telemetry',
      event: raw.name,
      distinct_id: distinctId,
      session_id: raw.sessionId,
      timestamp: toPlausibleTime(toFiniteNumber(raw.ts) ?? receivedMs, receivedMs),
      received_at: receivedMs,
      ip: clientIp,
      user_agent: userAgent,
      library: '',
      properties: JSON.stringify({ ...raw.props, ...toOwnProperties(raw, project) }),
      user: raw.user ? JSON.stringify(fromPhp(raw.user)) : '{}',
      historical: false,
    },
    route: 'main',
    category: 'events',
    key: `${project}:${distinctId}`,
    dedupKey,
  }
}

/** Some clients send a number as user id. Its text is the id. */
function toUserId(user: Json | null | undefined): string {
  const id = user?.id
  return typeof id === 'string' ? id : (toNumberText(id) ?? '')
}

/** They come last, so that `props` cannot overwrite them. The project may have several apps. */
function toOwnProperties({ type, release, app }: TelemetryEvent, project: string): Json {
  const own = { $type: type, $release: release }
  return app === project ? own : { ...own, $app: app }
}
