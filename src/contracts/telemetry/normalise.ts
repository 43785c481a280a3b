import type { Fault } from '../../core/errors.ts'
import type { CanonicalEvent, Rejection } from '../../core/event.ts'
import { columnBytesMax, shortTextLengthMax } from '../../core/limits.ts'
import type { IngestRequest, NormaliseContext, Normalised } from '../../core/protocol.ts'
import { identify } from '../shared/event-id.ts'
import { toHeaderText } from '../shared/headers.ts'
import { fromPhp, isJsonObject, type Json, toFiniteNumber, toNumberText } from '../shared/json.ts'
import { isLargerThan, isLongerThan, isShortText } from '../shared/text.ts'
import { toPlausibleTime } from '../shared/time.ts'
import {
  addReplacedProperties,
  addUnknownFields,
  toAltered,
  toPropertiesJson,
  toWarning,
  type Warnings,
} from '../shared/warnings.ts'
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
  const request = { receivedMs, clientIp, userAgent }
  const events: CanonicalEvent[] = []
  const rejections: Rejection[] = []
  let sender = toSender(undefined, apps)
  for (const [index, raw] of raws.entries()) {
    const app = (raw as { app?: unknown } | null | undefined)?.app
    if (app !== sender.app) sender = toSender(app, apps)
    const { project } = sender
    const result =
      toFault(raw) ?? sender.refusal ?? toEvent(raw as TelemetryEvent, project, request)
    if ('code' in result) rejections.push({ index, ...result, raw, project })
    else events.push(result)
  }
  return { events, rejections, dropped: 0 }
}

/** `project` is the id of the app's project; empty if it has none, or may not send for it. */
type Sender = { app: unknown; project: string; refusal?: Fault | undefined }

function toSender(app: unknown, apps: NormaliseContext['apps']): Sender {
  if (!isShortText(app)) return { app, project: '' }
  if (apps === undefined) return { app, project: app }
  const found = apps.get(app)
  return found && 'id' in found ? { app, project: found.id } : { app, project: '', refusal: found }
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
  return undefined
}

/** The id is a Kafka key. */
const longUserId: Fault = {
  code: 'invalid_field',
  field: 'user.id',
  message: `user.id must have at most ${shortTextLengthMax} characters`,
}
/** The whole user is one column. */
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

type RequestValues = { receivedMs: number; clientIp: string; userAgent: string }

/** The event, or the fault of its user. */
function toEvent(
  raw: TelemetryEvent,
  project: string,
  { receivedMs, clientIp, userAgent }: RequestValues,
): CanonicalEvent | Fault {
  const { dedupKey, uuid } = identify(['telemetry', project, raw.id])
  const distinctId = toUserId(raw.user) || raw.sessionId
  if (isLongerThan(distinctId, shortTextLengthMax)) return longUserId
  const user = raw.user ? JSON.stringify(fromPhp(raw.user)) : '{}'
  if (isLargerThan(user, columnBytesMax)) return largeUser
  const sentMs = toFiniteNumber(raw.ts) ?? receivedMs
  const timestamp = toPlausibleTime(sentMs, receivedMs)
  const properties = toProperties(raw, project)
  const isReplaced = timestamp === receivedMs && Math.trunc(sentMs) !== receivedMs
  const warnings = toWarnings(raw, properties, isReplaced)
  return {
    kind: 'event',
    row: {
      uuid,
      project,
      source: 'telemetry',
      event: raw.name,
      distinct_id: distinctId,
      session_id: raw.sessionId,
      timestamp,
      received_at: receivedMs,
      ip: clientIp,
      user_agent: userAgent,
      library: '',
      properties: toPropertiesJson(properties, warnings),
      user,
      historical: false,
    },
    properties,
    route: 'main',
    category: 'events',
    key: `${project}:${distinctId}`,
    dedupKey,
    altered: toAltered(warnings),
  }
}

const fields: ReadonlySet<string> = new Set(rules.map(({ field }) => field))
const ownProperties = ['$id', '$type', '$release', '$app']

/** How the row differs from the event as sent. */
function toWarnings(raw: TelemetryEvent, stored: Json, isReplaced: boolean): Warnings {
  const time = isReplaced ? [toWarning('time_implausible', 'ts', raw.ts)] : undefined
  const warnings = addReplacedProperties(time, { sent: raw.props, stored }, ownProperties)
  // The required fields are there, so the number of fields tells whether there are others.
  const absent = (raw.user === undefined ? 1 : 0) + (raw.props === undefined ? 1 : 0)
  const isExact = Object.keys(raw).length === fields.size - absent
  return isExact ? warnings : addUnknownFields(warnings, raw, fields)
}

/** Some clients send a number as user id. Its text is the id. */
function toUserId(user: Json | null | undefined): string {
  const id = user?.id
  return typeof id === 'string' ? id : (toNumberText(id) ?? '')
}

/**
 * Our own come last, so that `props` cannot overwrite them. A project may have several apps. The
 * client's `id` is a property only: as uuid it could name the row of another event.
 */
function toProperties({ props, id, type, release, app }: TelemetryEvent, project: string): Json {
  return app === project
    ? { ...props, $id: id, $type: type, $release: release }
    : { ...props, $id: id, $type: type, $release: release, $app: app }
}
