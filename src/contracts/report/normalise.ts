import { type Fault, IngestError } from '../../core/errors.ts'
import type { CanonicalEvent } from '../../core/event.ts'
import type { IngestRequest, NormaliseContext, Normalised } from '../../core/protocol.ts'
import { isJsonObject, type Json } from '../capture/raw-event.ts'
import { cutText } from '../shared/text.ts'
import { identify } from '../shared/uuid5.ts'

/**
 * A report's events → events; all of them or none: throws with every fault found, the first one's code being
 * the request's (missing_field, invalid_field, invalid_event). Source: spec README, "Event report".
 */
export function normaliseReport(
  request: IngestRequest,
  { events: raws }: { events: readonly unknown[] },
  { project }: Pick<NormaliseContext, 'project'>,
): Normalised {
  const faults = raws.flatMap(toFaults)
  const [first] = faults
  if (first) {
    const field = first.field ?? 'events'
    throw new IngestError(first.code, first.message, { field, faults })
  }
  const intake = toIntake(request, project.id)
  const events = (raws as ReportEvent[]).map((raw, index) => toEvent(raw, index, intake))
  return { events, rejections: [], dropped: 0 }
}

/** What is left once no fault was found. */
type ReportEvent = { name: string; user: string; sessionId: string; extra?: Json | null }

const required = [
  { field: 'name', label: 'Event name' },
  { field: 'user', label: 'User' },
  { field: 'sessionId', label: 'Session ID' },
]

function toFaults(raw: unknown, index: number): Fault[] {
  if (!isJsonObject(raw)) {
    return [{ index, code: 'invalid_event', message: `events[${index}] must be an object` }]
  }
  const faults: Fault[] = []
  for (const { field, label } of required) {
    const value = raw[field] ?? ''
    if (value === '') {
      faults.push({ index, field, code: 'missing_field', message: `${label} is required` })
    } else if (typeof value !== 'string') {
      faults.push({ index, field, code: 'invalid_field', message: `${label} must be a string` })
    }
  }
  const extra = raw.extra ?? undefined
  if (extra !== undefined && !isJsonObject(extra)) {
    const message = 'Extra must be an object'
    faults.push({ index, field: 'extra', code: 'invalid_field', message })
  }
  return faults
}

/** All that the events of one request share. */
type Intake = {
  project: string
  receivedMs: number
  clientIp: string
  userAgent: string
  idempotencyKey: string | null
  headerProperties: Record<string, string>
}

function toIntake({ headers, receivedMs, clientIp }: IngestRequest, project: string): Intake {
  const properties: Record<string, string> = {}
  for (const [header, property] of propertyOf) {
    const value = headers.get(header)
    if (value) properties[property] = cutText(value, headerLengthMax)
  }
  return {
    project,
    receivedMs,
    clientIp,
    userAgent: properties.$user_agent ?? '',
    idempotencyKey: headers.get('idempotency-key') || null,
    headerProperties: properties,
  }
}

/** The contract's headers but for the key, which is a secret. */
const propertyOf = new Map([
  ['x-user-id', '$user_id'],
  ['x-app-id', '$app_id'],
  ['x-platform', '$platform'],
  ['x-version', '$sdk_version'],
  ['user-agent', '$user_agent'],
  ['content-type', '$content_type'],
  ['accept', '$accept'],
])

/** They are repeated in every row, so a long one must not multiply a small request. */
const headerLengthMax = 512

function toEvent(raw: ReportEvent, index: number, intake: Intake): CanonicalEvent {
  const { project, receivedMs, idempotencyKey } = intake
  const identity = idempotencyKey ? identify(['report', project, idempotencyKey, index]) : undefined
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
      ip: intake.clientIp,
      user_agent: intake.userAgent,
      library: '',
      // Headers come last: what the server was told about a request, no event may contradict.
      properties: JSON.stringify({ ...raw.extra, ...intake.headerProperties }),
      user: '{}',
      historical: false,
    },
    route: 'main',
    category: 'events',
    key: `${project}:${raw.user}`,
    dedupKey: identity?.dedupKey,
  }
}
