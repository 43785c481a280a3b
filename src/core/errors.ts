/**
 * Every reason to refuse a request or to reject an event, with its HTTP status.
 * The codes are stable: replies, metrics and dead letters carry them.
 */
export const statusOf = {
  // The request as a whole.
  empty_body: 400,
  invalid_encoding: 400,
  invalid_json: 400,
  nesting_too_deep: 400,
  too_many_names: 400,
  invalid_batch: 400,
  empty_batch: 400,
  too_many_events: 400,
  body_too_large: 413,
  body_too_slow: 413,
  body_timeout: 408,
  body_incomplete: 400,
  unsupported_content_type: 415,
  unsupported_encoding: 415,
  missing_event_uuid: 400,
  duplicate_event_uuid: 400,
  // The sender.
  missing_token: 401,
  invalid_token: 401,
  mixed_tokens: 401,
  unknown_token: 401,
  unknown_app: 401,
  unknown_project: 401,
  origin_not_allowed: 403,
  missing_header: 400,
  invalid_api_key: 401,
  // One event.
  event_too_large: 413,
  invalid_event: 400,
  missing_event_name: 400,
  event_name_too_long: 400,
  missing_distinct_id: 400,
  distinct_id_too_large: 400,
  invalid_event_timestamp: 400,
  invalid_options: 400,
  invalid_properties: 400,
  missing_session_id: 400,
  invalid_session_id: 400,
  missing_snapshot_data: 400,
  invalid_snapshot_data: 400,
  missing_field: 400,
  invalid_field: 400,
  // A dead letter that counts the rejected events without one of their own.
  more_rejected: 400,
  // The request's address, and routes for operators.
  invalid_url: 400,
  operators_only: 403,
  // The identity of a request.
  idempotency_key_reused: 422,
  // Capacity and rate.
  rate_limited: 429,
  too_busy: 503,
  journal_full: 503,
  journal_failed: 503,
  out_of_descriptors: 503,
  starting: 503,
  shutting_down: 503,
  not_found: 404,
  method_not_allowed: 405,
  internal_error: 500,
} as const satisfies Record<string, number>

export type ErrorCode = keyof typeof statusOf

export type ErrorDetails = {
  /** The invalid or missing field or header, by its name in the contract. */
  field?: string
  retryAfterSeconds?: number
  /** All faults of the request, for the contracts that list them (event report V2). */
  faults?: readonly EventFault[]
}

/** A reason to reject one event. `message` is a sentence for a person. */
export type Fault = { code: ErrorCode; message: string; field?: string }

/** Counts by error code. The number of codes bounds it, not the number of events. */
export type CodeCounts = Partial<Record<ErrorCode, number>>

/** A fault with the position of its event in the request, from 0. */
export type EventFault = Fault & { index: number }

/** The content of an IngestError as plain data, which may pass to another thread. */
export type RequestFault = { code: ErrorCode; message: string; details: ErrorDetails }

export const toRequestFault = ({ code, message, details }: IngestError): RequestFault => ({
  code,
  message,
  details,
})

export const toRequestError = ({ code, message, details }: RequestFault): IngestError =>
  new IngestError(code, message, details)

/**
 * Refuses a whole request. Any part may throw it. The contract's `refuse` turns it into a reply,
 * and only there.
 */
export class IngestError extends Error {
  readonly code: ErrorCode
  readonly details: ErrorDetails

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message)
    this.name = 'IngestError'
    this.code = code
    this.details = details
  }

  get status(): number {
    return statusOf[this.code]
  }
}
