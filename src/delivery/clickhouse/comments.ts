import type {
  deadLetterColumns,
  eventColumns,
  linkColumns,
  recordingColumns,
} from '../../core/event.ts'

/** Describes a table and each of its columns. `DESCRIBE` and docs/tables.md show these texts. */
export type Comments<Name extends string = string> = {
  table: string
  columns: Readonly<Record<Name, string>>
}

const json = (of: string) => `${of}; a JSON object`

const events = {
  table: 'Events of the contracts capture, telemetry and report',
  columns: {
    uuid: 'Id of the event: the uuid of a capture event; else computed from its identity, or random if it has none',
    project: 'Id of the project in the projects file; without a file the token, API key or app',
    source: 'Contract by which the event came',
    event: 'Name of the event',
    distinct_id: 'User id; for telemetry without a user the session id',
    session_id: 'Session id; empty if not sent',
    timestamp:
      'When the event happened, UTC; corrected if the client says when it sent; for reports when received',
    received_at: 'When the server received the event, UTC',
    ip: 'Address of the client; a capture event may name another one',
    user_agent: 'User-Agent header of the client',
    library: 'SDK, if a capture event names it in $lib; else empty',
    properties:
      'JSON object as sent; telemetry adds $id, $type and $release, report its headers; $ingest_warnings if the event was altered',
    user: 'JSON object: $set and $set_once of capture, the user of telemetry, else {}',
    historical: 'Whether the event was sent as a migration (historical_migration)',
  },
} as const satisfies Comments<keyof typeof eventColumns>

const recordings = {
  table: 'Session recordings: the snapshots of one request and session, or one part of them',
  columns: {
    uuid: 'Id of the request’s snapshots of this session',
    project: 'Id of the project in the projects file; without a file the token',
    session_id: 'Session id',
    distinct_id: 'User id',
    window_id: 'Window or tab of the session',
    snapshot_source: 'Where the recording was made: web or mobile',
    timestamp: 'When the first snapshot was made, UTC',
    received_at: 'When the server received the snapshots, UTC',
    ip: 'Address of the client',
    user_agent: 'User-Agent header of the client',
    library: 'SDK that recorded',
    chunk: 'Number of this part, from 0',
    chunks: 'Number of parts; if above 1, join the parts of a uuid in the order of chunk',
    ingest_warnings: 'JSON array: how the row differs from the recording as sent',
    snapshot_items: 'JSON array of snapshots; if chunks is above 1, one part of its text',
  },
} as const satisfies Comments<keyof typeof recordingColumns>

const linkEvents = {
  table: 'Events of link tracking; a field that was not sent is empty, 0 or the contract’s default',
  columns: {
    uuid: 'Id of the row, computed from project and event_id',
    received_at: 'When the server received the event, UTC',
    event_id: 'Id of the event',
    event_type: 'Kind of event: click, view, conversion, …',
    event_time: 'When the event happened, UTC',
    event_attributes: json('Further attributes of the event'),
    link_id: 'Id of the link',
    link_slug: 'Short name of the link',
    link_label: 'Label of the link',
    link_title: 'Title of the link',
    link_original_url: 'Address that the link leads to',
    link_attributes: json('Further attributes of the link'),
    link_created_at: 'When the link was created, UTC; NULL if not sent',
    link_expires_at: 'When the link expires, UTC; NULL if not sent',
    link_tags: 'Tags of the link',
    user_id: 'Id of the user, as sent',
    user_name: 'Name of the user',
    user_email: 'Mail address of the user',
    user_attributes: json('Further attributes of the user'),
    team_id: 'Id of the team',
    team_name: 'Name of the team',
    team_attributes: json('Further attributes of the team'),
    project_id: 'Id of the project; default if not sent',
    project_name: 'Name of the project',
    project_attributes: json('Further attributes of the project'),
    qr_code_id: 'Id of the QR code',
    qr_code_name: 'Name of the QR code',
    qr_code_attributes: json('Further attributes of the QR code'),
    visitor_id: 'Id of the visitor',
    session_id: 'Session id of the visitor',
    ip_address: 'Address of the visitor',
    country: 'Country of the visitor, as sent; looked up: ISO 3166 code',
    city: 'City of the visitor, as sent or looked up',
    device_type: 'Kind of device, as sent or by user_agent: desktop, mobile, tablet, …',
    browser: 'Browser, as sent or by user_agent',
    os: 'Operating system, as sent or by user_agent',
    user_agent: 'User-Agent of the visitor',
    referrer: 'Page that led to the link',
    utm_source: 'Campaign: source',
    utm_medium: 'Campaign: medium',
    utm_campaign: 'Campaign: name',
    utm_term: 'Campaign: search term',
    utm_content: 'Campaign: variant',
    time_spent_sec: 'Time on the page, seconds',
    is_bounce: 'Whether the visitor saw only one page; true if not sent',
    is_qr_scan: 'Whether the link was opened by its QR code',
    conversion_type: 'Kind of conversion',
    conversion_value: 'Value of the conversion',
    ingest_warnings: 'JSON array: how the row differs from the event as sent',
    is_bot: 'Whether enrichment (bots) found a robot or the preview of a link; else false',
  },
} as const satisfies Comments<keyof typeof linkColumns>

const deadLetters = {
  table: 'Events that were rejected, and rows that a sink refused; kept for 90 days',
  columns: {
    uuid: 'Id of the dead letter',
    project: 'Id of the project',
    protocol: 'Contract by which the event came',
    source: 'The same as protocol, named as in events',
    stage: 'Where it was rejected: normalise (at intake), or the sink that refused the row',
    reason: 'Error code, or the sink’s name for its error',
    detail: 'The error as a sentence',
    received_at: 'When the server received the event, UTC',
    ip: 'Address of the client',
    raw: 'The event as sent (JSON text), or the row, cut at 16 KiB',
  },
} as const satisfies Comments<keyof typeof deadLetterColumns | 'source'>

/** The one source of these texts. */
export const comments: Readonly<
  Record<'events' | 'recordings' | 'link_events' | 'dead_letters', Comments>
> = {
  events,
  recordings,
  link_events: linkEvents,
  dead_letters: deadLetters,
}

/** Of `first_wins`, the version of a row. */
export const firstWinsComment =
  'Version of the row: of rows with the same sorting key, the one received first stays'
