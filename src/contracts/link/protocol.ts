import { IngestError, type RequestFault } from '../../core/errors.ts'
import { bodyBytesMax } from '../../core/limits.ts'
import type {
  DecodedBody,
  IngestRequest,
  Outcome,
  Protocol,
  Reply,
  Submission,
} from '../../core/protocol.ts'
import { toRetryAfter } from '../shared/headers.ts'
import { createLinkFields } from './fields.ts'

/** Link tracking: `POST /api/events/track`, one event a request. See docs/contracts/link.md. */
export const linkProtocol: Protocol<LinkSubmission> = {
  name: 'link',
  decode: { bodyBytesMax, forms: true, base64: false },
  parse: parseLink,
  reply: replyLink,
  refuse: refuseLink,
}

export type LinkSubmission = Submission & {
  /** The event as parsed JSON. Normalisation validates its fields. */
  event: Readonly<Record<string, unknown>>
  /** The client's, or a new one. The reply contains it even if a quota drops the event. */
  eventId: string
}

/** The project id takes the place of a credential. Throws invalid_event, and invalid_field for it. */
function parseLink(_request: IngestRequest, { value }: DecodedBody): LinkSubmission {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new IngestError('invalid_event', 'the body must be one event, a JSON object')
  }
  const event = value as Record<string, unknown>
  const own = event.event_id
  const eventId = typeof own === 'string' && own !== '' ? own : Bun.randomUUIDv7()
  const fields = createLinkFields(event)
  const credential = fields.given('project_id') ?? 'default'
  // A developer who tries the route learns what is missing before whose project it is.
  const isMissing = [undefined, null, ''].includes(event.event_type as null)
  return { credential, received: 1, event, eventId, ...(isMissing ? { fault: missingType } : {}) }
}

const missingType: RequestFault = {
  code: 'missing_field',
  message: 'event_type is required',
  details: { field: 'event_type' },
}

/** A duplicate gets the same reply as a new event. */
function replyLink(_request: IngestRequest, { eventId }: LinkSubmission, _outcome: Outcome): Reply {
  const body = { success: true, message: 'Event tracked successfully', event_id: eventId }
  return { status: 201, body: JSON.stringify(body) }
}

function refuseLink(error: IngestError): Reply {
  const body = JSON.stringify(toErrorBody(error))
  return { status: error.status, body, headers: toRetryAfter(error) }
}

/** The contract defines three errors. Any other error takes the format of the nearest one. */
function toErrorBody({ code, status, message, details }: IngestError) {
  if (status >= 500) return { error: 'Failed to track event', details: message }
  if (code === 'missing_field') return { error: `Missing required field: ${details.field}` }
  if (code === 'invalid_field') return { error: `Invalid field: ${details.field}` }
  if (status === 400) return { error: 'Invalid field: body', details: message }
  return { error: message }
}
