import { type Fault, IngestError } from '../../core/errors.ts'
import { bodyBytesMax, tokenBytesMax } from '../../core/limits.ts'
import type { DecodedBody, IngestRequest, Protocol, Submission } from '../../core/protocol.ts'
import { refuseReport, replyReport, requestLevel } from './report-reply.ts'

/**
 * Mobile event report: `POST /users/report/events` and `/v2/users/report/events`; the path decides in which
 * version's words the reply is. Source: event-report-api.md.
 */
export function createReportProtocol({
  eventsMax,
}: {
  eventsMax: number
}): Protocol<ReportSubmission> {
  return {
    name: 'report',
    decode: { bodyBytesMax, forms: false, base64: false },
    parse: (request, body) => parseReport(request, body, eventsMax),
    reply: replyReport,
    refuse: refuseReport,
  }
}

export type ReportSubmission = Submission & {
  /** As parsed; normalisation takes all of them or none. */
  events: readonly unknown[]
}

const requiredHeaders = ['X-API-KEY', 'X-USER-ID', 'X-APP-ID', 'X-PLATFORM', 'X-VERSION']

/** Throws missing_header, invalid_api_key, invalid_batch, empty_batch, too_many_events. */
function parseReport(
  { headers }: IngestRequest,
  { value }: DecodedBody,
  eventsMax: number,
): ReportSubmission {
  const faults = requiredHeaders.flatMap((name) => (headers.get(name) ? [] : toHeaderFault(name)))
  const [first] = faults
  if (first?.field) {
    throw new IngestError('missing_header', first.message, { field: first.field, faults })
  }
  const credential = parseKey(headers.get('x-api-key') ?? '')
  const events = (value as { events?: unknown } | null)?.events
  if (!Array.isArray(events)) throw toEventsError('invalid_batch', 'events must be an array')
  if (events.length === 0) throw toEventsError('empty_batch', 'events must not be empty')
  if (events.length > eventsMax) {
    throw toEventsError('too_many_events', `events must hold at most ${eventsMax} events`)
  }
  return { credential, received: events.length, events }
}

function toHeaderFault(field: string): Fault {
  const message = `Missing required header: ${field}`
  return { index: requestLevel, field, code: 'missing_header', message }
}

const printable = /^[\x21-\x7e]+$/

function parseKey(key: string): string {
  if (key.length <= tokenBytesMax && printable.test(key) && !key.startsWith('phx_')) return key
  throw new IngestError('invalid_api_key', 'API key is invalid', { field: 'X-API-KEY' })
}

function toEventsError(code: 'invalid_batch' | 'empty_batch' | 'too_many_events', message: string) {
  return new IngestError(code, message, { field: 'events' })
}
