import type { ErrorCode } from '../core/errors.ts'
import type { Alteration } from '../core/event.ts'

/** Tells a person what to do about a code. Sinks and the pipeline have further reasons of their own. */
export function toHint(reason: string): string {
  return (
    sinkHints[reason] ??
    hints[reason as ErrorCode] ??
    'Look at the message, and correct the sender.'
  )
}

const fixBody = 'Correct the JSON that the client sends; the log of refusals shows its beginning.'
const fixField = 'Correct the field that the message names, in the client or in the dead letter.'
const fewer = 'Send fewer events in one request.'
const wait = 'Nothing is lost: clients send again after the time in Retry-After.'
const key = 'Send one of the project’s API keys in X-API-KEY; compare it with the projects file.'

const hints = {
  empty_body: 'Send a body; a proxy in between may have removed it.',
  invalid_encoding: 'Send the compression that Content-Encoding names, and the whole body.',
  invalid_json: fixBody,
  nesting_too_deep: 'Send flatter JSON: objects and arrays are nested too deeply.',
  too_many_names: 'Send fewer different property names in one request.',
  invalid_batch: 'Send an event, or an array of events, in the form of the contract.',
  empty_batch: 'Send at least one event.',
  too_many_events: fewer,
  body_too_large: `${fewer} Compress the body, or leave large properties out.`,
  body_too_slow: `${fewer} The body took too long to read; BODY_WORK_MS_MAX bounds it.`,
  body_timeout:
    'The client sent its body too slowly; look at its connection, or raise BODY_TIMEOUT_MS.',
  body_incomplete: 'The client closed the connection; it sends the request again.',
  unsupported_content_type: 'Send Content-Type: application/json.',
  unsupported_encoding: 'Compress with gzip, or with one of the encodings that the message names.',
  missing_event_uuid: 'Give each event of the batch a uuid of its own.',
  duplicate_event_uuid: 'Give each event of the batch a uuid of its own.',
  missing_token:
    'Put the project token into the body (api_key or token), or into the header Token.',
  invalid_token: 'Use the project token, not a personal key, and look for spaces and quotes in it.',
  mixed_tokens: 'Send the events of each project in a request of their own.',
  unknown_token: 'Compare the token with `tokens` in the projects file; look for a typing error.',
  unknown_app: 'Add the app to `apps` of a project in the projects file, or correct `app`.',
  unknown_project: 'Add the project to the projects file, or correct `project_id`.',
  origin_not_allowed: 'Add the page’s origin to `origins` of the project in the projects file.',
  missing_header: 'Send the header that the message names.',
  invalid_api_key: key,
  event_too_large: 'Make the event smaller: leave large properties out.',
  invalid_event: 'Send each event as a JSON object in the form of the contract.',
  missing_event_name: 'Give the event a name, in the client or in the dead letter.',
  event_name_too_long: 'Shorten the name of the event; put what varies into a property.',
  missing_distinct_id: 'Give the event a distinct_id, in the client or in the dead letter.',
  distinct_id_too_large: 'Shorten distinct_id.',
  invalid_event_timestamp: 'Write timestamp as a time in RFC 3339.',
  invalid_options: fixField,
  invalid_properties: 'Send properties as a JSON object.',
  missing_session_id: 'Send properties.$session_id with each snapshot.',
  invalid_session_id: 'Send a shorter $session_id, of plain characters.',
  missing_snapshot_data: 'Send properties.$snapshot_data with each snapshot.',
  invalid_snapshot_data: 'Send properties.$snapshot_data as an object or an array of objects.',
  missing_field: fixField,
  invalid_field: fixField,
  more_rejected:
    'This letter counts further events of its request; the first ones have letters of their own.',
  invalid_url: 'Send a request with a valid Host, and a path without dot segments.',
  operators_only: 'Send ADMIN_TOKEN as bearer token, or use ADMIN_PORT.',
  idempotency_key_reused: 'Send a new Idempotency-Key with each new payload.',
  rate_limited: `${wait} Raise the project’s rate, or the setting RATE_… of the contract.`,
  too_busy: wait,
  journal_full: `${wait} Look why a sink does not take events, or raise JOURNAL_MAX_BYTES.`,
  journal_failed: `${wait} Look at the disk of DATA_DIR.`,
  out_of_descriptors: `${wait} Raise the limit of open files (ulimit -n).`,
  starting: wait,
  shutting_down: wait,
  not_found: 'Correct the path.',
  method_not_allowed: 'Use the method that the header Allow names.',
  internal_error: 'This is a fault of the server; its log has the details under the request id.',
} as const satisfies Record<ErrorCode, string>

const sinkHints: Record<string, string> = {
  duplicate: 'Nothing to do: the same event was received before, and is stored once.',
  quota_dropped: 'Raise the project’s quota in the projects file, or wait for its next period.',
  record_too_large: 'Raise KAFKA_MESSAGE_BYTES_MAX and the topic’s max.message.bytes.',
  record_refused: 'Look at the broker’s message: the broker refuses the content of the record.',
}

/** The same about a kind of altered events. */
export const toAlterationHint = (kind: string): string =>
  alterationHints[kind as Alteration] ?? sinkHints[kind] ?? ''

const alterationHints = {
  time_unreadable: 'Send times as ISO 8601, or as a number of milliseconds.',
  time_implausible: 'Look at the clock of the client, and at the unit of the number.',
  text_cut: 'Send shorter ids and names; put what varies into a property.',
  uuid_replaced: 'Send a uuid of version 4 or 7, or none.',
  field_dropped: 'Put fields of your own into the properties: extra, props, event_attributes.',
  property_replaced: 'Give the property another name: the server sets this one.',
} as const satisfies Record<Alteration, string>
