/**
 * Every reason for which a request or an event is refused, with its HTTP status.
 * The keys are stable: clients, metrics and dead letters carry them.
 */
export const statusOf = {
  // The request as a whole.
  empty_body: 400,
  invalid_encoding: 400,
  invalid_json: 400,
  nesting_too_deep: 400,
  invalid_batch: 400,
  empty_batch: 400,
  too_many_events: 400,
  body_too_large: 413,
  body_timeout: 408,
  body_incomplete: 400,
  // Who sends.
  missing_token: 401,
  invalid_token: 401,
  mixed_tokens: 401,
  unknown_token: 401,
  origin_not_allowed: 403,
  missing_header: 400,
  invalid_api_key: 401,
  // One event.
  event_too_large: 413,
  invalid_event: 400,
  missing_event_name: 400,
  event_name_too_long: 400,
  missing_distinct_id: 400,
  invalid_properties: 400,
  missing_session_id: 400,
  invalid_session_id: 400,
  missing_snapshot_data: 400,
  invalid_snapshot_data: 400,
  missing_field: 400,
  invalid_field: 400,
  // Room and rate.
  rate_limited: 429,
  too_busy: 503,
  journal_full: 503,
  journal_failed: 503,
  starting: 503,
  shutting_down: 503,
  not_found: 404,
  method_not_allowed: 405,
  internal_error: 500,
} as const satisfies Record<string, number>

export type ErrorCode = keyof typeof statusOf

export type ErrorDetails = {
  /** The field or header at fault, as the contract names it. */
  field?: string
  retryAfterSeconds?: number
  /** Every fault found, where a contract lists them (event report V2, telemetry). */
  faults?: readonly Fault[]
}

/** One fault of one event. `index` is its place in the batch; `message` a sentence for a person. */
export type Fault = { index: number; field?: string; code: ErrorCode; message: string }

/** A refusal. Thrown anywhere, shaped into a reply in exactly one place: the protocol's `refuse`. */
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
