import { IngestError, toRequestFault } from '../../core/errors.ts'
import { type CanonicalEvent, type LinkRow, linkColumns } from '../../core/event.ts'
import type { IngestRequest, Normalised } from '../../core/protocol.ts'
import { identify } from '../shared/event-id.ts'
import { toHeaderText } from '../shared/headers.ts'
import { refuseAll } from '../shared/refuse-all.ts'
import { isPlausible, toPlausibleTime } from '../shared/time.ts'
import {
  addUnknownFields,
  toAltered,
  toWarning,
  toWarningsJson,
  type Warnings,
} from '../shared/warnings.ts'
import { createLinkFields, type LinkFields } from './fields.ts'
import type { LinkSubmission } from './protocol.ts'

/**
 * Converts a link event to its row: one typed column for each field of the contract. One bad field
 * refuses the request (missing_field, invalid_field). See docs/contracts/link.md.
 */
export function normaliseLink(request: IngestRequest, submission: LinkEvent): Normalised {
  if (submission.fault) return refuseAll([submission.event], submission.fault)
  try {
    return toNormalised(request, submission)
  } catch (error) {
    if (error instanceof IngestError) return refuseAll([submission.event], toRequestFault(error))
    throw error
  }
}

/** Throws invalid_field. */
function toNormalised(request: IngestRequest, submission: LinkEvent): Normalised {
  const fields = createLinkFields(submission.event)
  const project = fields.given('project_id') ?? 'default'
  // An id that the server generated counts too: a client that sends it back means the same event.
  const { dedupKey, uuid } = identify(['link', project, submission.eventId])
  const warnings = toWarnings(submission.event, fields, request)
  const { eventId } = submission
  const row = toRow({ request, fields, project, eventId, uuid, warnings })
  const key = `${project}:${row.visitor_id}`
  const event: CanonicalEvent = {
    kind: 'link',
    row,
    isAgentSent: fields.given('user_agent') !== undefined,
    route: 'main',
    category: 'events',
    key,
    dedupKey,
    altered: toAltered(warnings),
  }
  return { events: [event], rejections: [], dropped: 0 }
}

type LinkEvent = Pick<LinkSubmission, 'event' | 'eventId' | 'fault'>

/** The columns that the contract has as fields. */
const known: ReadonlySet<string> = new Set(
  Object.keys(linkColumns).filter(
    (name) => !['uuid', 'received_at', 'ingest_warnings', 'is_bot'].includes(name),
  ),
)

/** How the row differs from the event as sent. */
function toWarnings(
  event: LinkSubmission['event'],
  fields: LinkFields,
  { receivedMs }: IngestRequest,
): Warnings {
  const eventMs = fields.time('event_time')
  const isReplaced = eventMs !== null && !isPlausible(eventMs, receivedMs)
  const time = isReplaced
    ? [toWarning('time_implausible', 'event_time', event.event_time)]
    : undefined
  return addUnknownFields(time, event, known)
}

type RowSource = {
  request: IngestRequest
  fields: LinkFields
  project: string
  eventId: string
  uuid: string
  warnings: Warnings
}

function toRow({ request, fields, project, eventId, uuid, warnings }: RowSource): LinkRow {
  fields.text('event_id')
  const { receivedMs } = request
  return {
    uuid,
    received_at: receivedMs,
    event_id: eventId,
    event_type: fields.text('event_type'),
    event_time: toPlausibleTime(fields.time('event_time') ?? receivedMs, receivedMs),
    event_attributes: fields.json('event_attributes'),
    ...toTarget(fields),
    ...toPeople(fields, project),
    ...toVisitor(fields, request),
    ...toReferral(fields, request),
    ...toInteraction(fields),
    ingest_warnings: toWarningsJson(warnings),
    is_bot: undefined,
  }
}

function toTarget({ text, json, time, tags }: LinkFields) {
  return {
    link_id: text('link_id'),
    link_slug: text('link_slug'),
    link_label: text('link_label'),
    link_title: text('link_title'),
    link_original_url: text('link_original_url'),
    link_attributes: json('link_attributes'),
    link_created_at: time('link_created_at'),
    link_expires_at: time('link_expires_at'),
    link_tags: tags('link_tags'),
  }
}

function toPeople({ text, json }: LinkFields, project: string) {
  return {
    user_id: text('user_id'),
    user_name: text('user_name'),
    user_email: text('user_email'),
    user_attributes: json('user_attributes'),
    team_id: text('team_id'),
    team_name: text('team_name'),
    team_attributes: json('team_attributes'),
    project_id: project,
    project_name: text('project_name'),
    project_attributes: json('project_attributes'),
    qr_code_id: text('qr_code_id'),
    qr_code_name: text('qr_code_name'),
    qr_code_attributes: json('qr_code_attributes'),
  }
}

function toVisitor({ text, given }: LinkFields, request: IngestRequest) {
  return {
    visitor_id: given('visitor_id') ?? Bun.randomUUIDv7(),
    session_id: given('session_id') ?? Bun.randomUUIDv7(),
    ip_address: given('ip_address') ?? request.clientIp,
    country: text('country'),
    city: text('city'),
    device_type: text('device_type'),
    browser: text('browser'),
    os: text('os'),
    user_agent: given('user_agent') ?? toHeaderText(request.headers, 'user-agent'),
  }
}

function toReferral({ text, given }: LinkFields, request: IngestRequest) {
  return {
    referrer: given('referrer') ?? toHeaderText(request.headers, 'referer'),
    utm_source: text('utm_source'),
    utm_medium: text('utm_medium'),
    utm_campaign: text('utm_campaign'),
    utm_term: text('utm_term'),
    utm_content: text('utm_content'),
  }
}

function toInteraction({ text, number, flag }: LinkFields) {
  return {
    time_spent_sec: number('time_spent_sec'),
    is_bounce: flag('is_bounce', true),
    is_qr_scan: flag('is_qr_scan', false),
    conversion_type: text('conversion_type'),
    conversion_value: number('conversion_value'),
  }
}
