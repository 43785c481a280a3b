import { type ErrorCode, type Fault, type IngestError, statusOf } from '../../core/errors.ts'
import type { IngestRequest, Outcome, Reply, Submission } from '../../core/protocol.ts'
import { toRetryAfter } from '../shared/retry-after.ts'

/** The `index` of a fault that is no event's; a reply says null. */
export const requestLevel = -1

/** The same for copies of events that were stored before. */
export function replyReport(
  { path }: Pick<IngestRequest, 'path'>,
  { received }: Submission,
  _outcome: Outcome,
): Reply {
  const body = { status: 'success', message: 'Events reported successfully' }
  return { status: 200, body: JSON.stringify(isV2(path) ? { ...body, received } : body) }
}

/** The first fault; version 2 lists all of them. */
export function refuseReport(error: IngestError, { path }: Pick<IngestRequest, 'path'>): Reply {
  const { status, message, details } = error
  const code = toReportCode(error.code, details.field)
  const base = { status: 'error', code, message }
  const body = isV2(path) ? { ...base, errors: toErrors(error) } : base
  return { status, body: JSON.stringify(body), headers: toRetryAfter(error) }
}

const isV2 = (path: string) => path.startsWith('/v2/')

function toErrors({ code, message, details }: IngestError) {
  const { field, faults } = details
  const whole: Fault = { index: requestLevel, code, message, ...(field ? { field } : {}) }
  return (faults ?? [whole]).map((fault) => ({
    index: fault.index === requestLevel ? null : fault.index,
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

/** The contract's six codes; what it has none for is named as everywhere else, in its spelling. */
function toReportCode(code: ErrorCode, field = ''): string {
  if (code === 'missing_header') return 'MISSING_REQUIRED_HEADER'
  if (code === 'missing_field') return requiredField[field] ?? 'INVALID_PARAMETER'
  if (statusOf[code] === 401) return 'INVALID_API_KEY'
  return statusOf[code] === 400 ? 'INVALID_PARAMETER' : code.toUpperCase()
}
