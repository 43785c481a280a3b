import type { EventFault } from '../../core/errors.ts'
import type { CanonicalEvent, DedupKey } from '../../core/event.ts'
import { shortTextLengthMax } from '../../core/limits.ts'
import type { IngestRequest, NormaliseContext, Normalised } from '../../core/protocol.ts'
import { identify } from '../shared/event-id.ts'
import { toHeaderText } from '../shared/headers.ts'
import { fromPhp, isJsonObject, type Json } from '../shared/json.ts'
import { refuseAll } from '../shared/refuse-all.ts'
import { isLongerThan } from '../shared/text.ts'
import {
  addReplacedProperties,
  addUnknownFields,
  addWarning,
  toAltered,
  toPropertiesJson,
  toWarning,
  type Warnings,
} from '../shared/warnings.ts'
import type { ReportSubmission } from './protocol.ts'

/**
 * Converts all events of a report, or none: then the refusal lists every fault and has the code of
 * the first one (missing_field, invalid_field, invalid_event). See docs/contracts/report.md.
 */
export function normaliseReport(
  request: IngestRequest,
  { events: raws }: Pick<ReportSubmission, 'events'>,
  { project }: Pick<NormaliseContext, 'project'>,
): Normalised {
  const faults = raws.flatMap(toFaults)
  const [first] = faults
  if (first) {
    const { code, message, field = 'events' } = first
    return refuseAll(raws, { code, message, details: { field, faults } }, faults)
  }
  const shared = toSharedValues(request, project.id)
  const events = (raws as ReportEvent[]).map((raw, index) => toEvent(raw, index, shared))
  return { events, rejections: [], dropped: 0, payloadKey: toPayloadKey(raws, shared) }
}

/** The dedup key of the payload under its `Idempotency-Key`: another payload has another one. */
function toPayloadKey(
  events: readonly unknown[],
  { project, userId, idempotencyKey }: SharedValues,
): DedupKey | undefined {
  if (idempotencyKey === null) return undefined
  const digest = Bun.SHA1.hash(JSON.stringify(events), 'hex')
  return identify(['report payload', project, userId, idempotencyKey, digest]).dedupKey
}

/** An event without faults. */
type ReportEvent = { name: string; user: string; sessionId: string; extra?: Json | null }

const required = [
  { field: 'name', label: 'Event name' },
  { field: 'user', label: 'User' },
  { field: 'sessionId', label: 'Session ID' },
]

function toFaults(raw: unknown, index: number): EventFault[] {
  if (!isJsonObject(raw)) {
    return [{ index, code: 'invalid_event', message: `events[${index}] must be an object` }]
  }
  const faults: EventFault[] = []
  for (const { field, label } of required) {
    const value = raw[field] ?? ''
    if (value === '') {
      faults.push({ index, field, code: 'missing_field', message: `${label} is required` })
    } else if (typeof value !== 'string') {
      faults.push({ index, field, code: 'invalid_field', message: `${label} must be a string` })
    } else if (isLongerThan(value, shortTextLengthMax)) {
      const message = `${label} must have at most ${shortTextLengthMax} characters`
      faults.push({ index, field, code: 'invalid_field', message })
    }
  }
  const extra = raw.extra ?? undefined
  if (extra !== undefined && !isJsonObject(fromPhp(extra))) {
    const message = 'Extra must be an object'
    faults.push({ index, field: 'extra', code: 'invalid_field', message })
  }
  return faults
}

/** The values that all events of one report share. */
type SharedValues = {
  project: string
  receivedMs: number
  clientIp: string
  userAgent: string
  /** `X-USER-ID`. Devices that share an API key may choose the same `Idempotency-Key`. */
  userId: string
  idempotencyKey: string | null
  headerProperties: Record<string, string>
  /** For the headers that were cut. */
  warnings: Warnings
}

function toSharedValues(
  { headers, receivedMs, clientIp }: IngestRequest,
  project: string,
): SharedValues {
  const properties: Record<string, string> = {}
  let warnings: Warnings
  for (const [header, property] of propertyOf) {
    const value = toHeaderText(headers, header, headerLengthMax)
    if (value !== '') properties[property] = value
    if (value.length < headerLengthMax) continue
    const sent = toHeaderText(headers, header, Number.POSITIVE_INFINITY)
    if (sent !== value) warnings = addWarning(warnings, toWarning('text_cut', header, sent))
  }
  return {
    project,
    receivedMs,
    clientIp,
    userAgent: properties.$user_agent ?? '',
    userId: headers.get('x-user-id') ?? '',
    idempotencyKey: headers.get('idempotency-key') || null,
    headerProperties: properties,
    warnings,
  }
}

/**
 * The property of each header that the contract names. `X-API-KEY` is absent because it is a
 * secret.
 */
const propertyOf = new Map([
  ['x-user-id', '$user_id'],
  ['x-app-id', '$app_id'],
  ['x-platform', '$platform'],
  ['x-version', '$sdk_version'],
  ['user-agent', '$user_agent'],
  ['content-type', '$content_type'],
  ['accept', '$accept'],
])

const ownProperties = [...propertyOf.values()]

/** Every row repeats the headers, so a long header would multiply the size of a small request. */
const headerLengthMax = 512

const fields: ReadonlySet<string> = new Set(['name', 'user', 'sessionId', 'extra'])

/** How the row differs from the event as sent. */
function toWarnings(raw: ReportEvent, stored: Json, shared: SharedValues): Warnings {
  const cut = shared.warnings && [...shared.warnings]
  const warnings = addReplacedProperties(cut, { sent: raw.extra, stored }, ownProperties)
  // The required fields are there, so the number of fields tells whether there are others.
  const isExact = Object.keys(raw).length === fields.size - (raw.extra === undefined ? 1 : 0)
  return isExact ? warnings : addUnknownFields(warnings, raw, fields)
}

function toEvent(raw: ReportEvent, index: number, shared: SharedValues): CanonicalEvent {
  const { project, receivedMs, userId, idempotencyKey } = shared
  // The headers come last, so that `extra` cannot overwrite them.
  const properties = { ...raw.extra, ...shared.headerProperties }
  const warnings = toWarnings(raw, properties, shared)
  const identity = idempotencyKey
    ? identify(['report', project, userId, idempotencyKey, index])
    : undefined
  return {
    kind: 'event',
    row: {
      uuid: identity?.uuid ?? Bun.randomUUIDv7(),
      project,
      source: 'report',
      event: raw.name,
      distinct_id: raw.user,
      session_id: raw.sessionId,
      timestamp: receivedMs,
      received_at: receivedMs,
      ip: shared.clientIp,
      user_agent: shared.userAgent,
      library: '',
      properties: toPropertiesJson(properties, warnings),
      user: '{}',
      historical: false,
    },
    properties,
    route: 'main',
    category: 'events',
    key: `${project}:${raw.user}`,
    dedupKey: identity?.dedupKey,
    altered: toAltered(warnings),
  }
}
