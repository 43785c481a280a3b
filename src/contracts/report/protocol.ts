import { type ErrorCode, type EventFault, IngestError, statusOf } from '../../core/errors.ts'
import { bodyBytesMax } from '../../core/limits.ts'
import type {
  DecodedBody,
  IngestRequest,
  Outcome,
  Protocol,
  Reply,
  Submission,
} from '../../core/protocol.ts'
import { toToken } from '../../core/token.ts'
import { toRetryAfter } from '../shared/headers.ts'

/**
 * Mobile event report: `POST /users/report/events` (V1) and `/v2/users/report/events` (V2). The
 * path decides the format of the reply. See docs/contracts/report.md.
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
  /** The events as parsed JSON. Normalisation accepts all of them or none. */
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

/** The `index` of a fault of the whole request. The reply says null. */
const requestIndex = -1

function toHeaderFault(field: string): EventFault {
  const message = `Missing required header: ${field}`
  return { index: requestIndex, field, code: 'missing_header', message }
}

function parseKey(written: string): string {
  const key = toToken(written)
  if (key !== undefined) return key
  throw new IngestError('invalid_api_key', 'API key is invalid', { field: 'X-API-KEY' })
}

function toEventsError(code: 'invalid_batch' | 'empty_batch' | 'too_many_events', message: string) {
  return new IngestError(code, message, { field: 'events' })
}

/** Duplicates get the same reply as new events. */
function replyReport(
  { path }: Pick<IngestRequest, 'path'>,
  { received }: Submission,
  _outcome: Outcome,
): Reply {
  const body = { status: 'success', message: 'Events reported successfully' }
  return { status: 200, body: JSON.stringify(isV2(path) ? { ...body, received } : body) }
}

/** V1 names the first fault, V2 lists all of them. */
function refuseReport(error: IngestError, { path }: Pick<IngestRequest, 'path'>): Reply {
  const { status, message, details } = error
  const code = toReportCode(error.code, details.field)
  const base = { status: 'error', code, message }
  const body = isV2(path) ? { ...base, errors: toErrors(error) } : base
  return { status, body: JSON.stringify(body), headers: toRetryAfter(error) }
}

const isV2 = (path: string) => path.startsWith('/v2/')

function toErrors({ code, message, details }: IngestError) {
  const { field, faults } = details
  const whole: EventFault = { index: requestIndex, code, message, ...(field ? { field } : {}) }
  return (faults ?? [whole]).map((fault) => ({
    index: fault.index === requestIndex ? null : fault.index,
    field: fault.field ?? null,
    code: toReportCode(fault.code, fault.field),
    message: fault.message,
  }))
}

const requiredField: Record<string, string> = {
  name: 'EVENT_NAME_REQUIRED',
  user: 'USER_REQUIRED',
  sessionId: 'SESSION_ID_REQUIRED',
}

/**
 * The contract defines six codes. Any other error uses its own code, in upper case as the contract
 * writes them.
 */
function toReportCode(code: ErrorCode, field = ''): string {
  if (code === 'missing_header') return 'MISSING_REQUIRED_HEADER'
  if (code === 'missing_field') return requiredField[field] ?? 'INVALID_PARAMETER'
  if (statusOf[code] === 401) return 'INVALID_API_KEY'
  return statusOf[code] === 400 ? 'INVALID_PARAMETER' : code.toUpperCase()
}
