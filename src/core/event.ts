import type { EventFault } from './errors.ts'

// The journal stores the numbers of these three tables, one byte each (docs/journal.md): a number
// never changes and is never reused.

export const kindNumbers = { event: 0, recording: 1, link: 2, dead_letter: 3 } as const
/** The kind of a journal record. It decides the ClickHouse table and the Kafka topic. */
export type Kind = keyof typeof kindNumbers

export const sourceNumbers = { capture: 0, telemetry: 1, report: 2, link: 3 } as const
/** The contract by which an event came. Stored in `events.source` and sent as a Kafka header. */
export type Source = keyof typeof sourceNumbers

export const routeNumbers = { main: 0, overflow: 1, historical: 2 } as const
/** The topic of an event among those of its kind; ClickHouse ignores it. */
export type Route = keyof typeof routeNumbers

/** The categories of capture events. Quotas count them separately, and replies name them. */
export type Category = 'events' | 'recordings' | 'exceptions'

/** The quotas of a project: one for each category of capture, and one for each other contract. */
export type QuotaName = Category | Exclude<Source, 'capture'>

/**
 * How an event may be stored differently from how it was sent:
 * - `time_unreadable`: a time could not be read and is not used
 * - `time_implausible`: a time is before 1970 or too far ahead, so the time of receipt is stored
 * - `text_cut`: an id, a name or another text was longer than its column takes
 * - `uuid_replaced`: the client's uuid is not one, or is of the version that the server derives
 * - `field_dropped`: the contract has no such field, or not of this type
 * - `property_replaced`: a property has a name that the server sets
 */
export type Alteration =
  | 'time_unreadable'
  | 'time_implausible'
  | 'text_cut'
  | 'uuid_replaced'
  | 'field_dropped'
  | 'property_replaced'

/** The identity of an event: the first 128 bits of a SHA-1, as 32 lower-case hex digits. */
export type DedupKey = string

/**
 * JSON text that is already encoded. It is copied into the canonical line without parsing it again.
 */
export type JsonText = string

/**
 * How the canonical line writes the value of a column:
 * - `plain`: a string of letters, digits and hyphens only, which needs no escaping
 * - `text`: any string, escaped; a lone surrogate becomes U+FFFD
 * - `json`: JSON text, copied; a lone surrogate inside becomes U+FFFD
 * - `exact`: JSON text, copied byte for byte
 * - `time`: milliseconds since 1970, written as ISO 8601 in UTC
 * - `optional_time`: the same, or null
 * - `number`, `flag`, `texts`: a JSON number, a JSON boolean, an array of strings
 * - `optional_flag`: a JSON boolean; the line leaves the column out if it is undefined
 */
export type ColumnEncoding =
  | 'plain'
  | 'text'
  | 'json'
  | 'exact'
  | 'time'
  | 'optional_time'
  | 'number'
  | 'flag'
  | 'optional_flag'
  | 'texts'

/** A column: its ClickHouse type (with DEFAULT and CODEC, if any) and its encoding in the line. */
type Column = readonly [clickhouseType: string, encoding: ColumnEncoding]

/** All columns of a table. Their order is the order in the canonical line. */
export type Columns = Readonly<Record<string, Column>>

const time = `DateTime64(3, 'UTC')`
const word = 'LowCardinality(String)'
const compressed = 'String CODEC(ZSTD(1))'
/** A JSON array of warnings. Rows of `events` have it as the property `$ingest_warnings`. */
const warnings = [`String DEFAULT '[]' CODEC(ZSTD(1))`, 'json'] as const

/**
 * The columns of `events`. To add one: add it here, fill it in the contracts, write a migration.
 */
export const eventColumns = {
  uuid: ['UUID', 'plain'],
  project: [word, 'text'],
  source: [`Enum8('capture' = 1, 'telemetry' = 2, 'report' = 3)`, 'plain'],
  event: [word, 'text'],
  distinct_id: ['String', 'text'],
  session_id: ['String', 'text'],
  timestamp: [time, 'time'],
  received_at: [time, 'time'],
  ip: ['String', 'text'],
  user_agent: ['String', 'text'],
  library: [word, 'text'],
  properties: [compressed, 'json'],
  user: ['String', 'json'],
  historical: ['Bool', 'flag'],
} as const satisfies Columns

/** The columns of `recordings`. */
export const recordingColumns = {
  uuid: ['UUID', 'plain'],
  project: [word, 'text'],
  session_id: ['String', 'text'],
  distinct_id: ['String', 'text'],
  window_id: ['String', 'text'],
  snapshot_source: [word, 'text'],
  timestamp: [time, 'time'],
  received_at: [time, 'time'],
  ip: ['String', 'text'],
  user_agent: ['String', 'text'],
  library: [word, 'text'],
  chunk: ['UInt32', 'number'],
  chunks: ['UInt32', 'number'],
  ingest_warnings: warnings,
  // A JSON array. Where `chunks` is above 1: a JSON string with this chunk of the array's text.
  snapshot_items: [compressed, 'exact'],
} as const satisfies Columns

/**
 * The columns of `link_events`: one for each field of the contract, of the same name. A field that
 * the client did not send is empty, 0, null (the two link times) or the default of the contract.
 */
export const linkColumns = {
  uuid: ['UUID', 'plain'],
  received_at: [time, 'time'],
  event_id: ['String', 'text'],
  event_type: [word, 'text'],
  event_time: [time, 'time'],
  event_attributes: [compressed, 'json'],
  link_id: ['String', 'text'],
  link_slug: ['String', 'text'],
  link_label: ['String', 'text'],
  link_title: ['String', 'text'],
  link_original_url: ['String', 'text'],
  link_attributes: [compressed, 'json'],
  link_created_at: [`Nullable(${time})`, 'optional_time'],
  link_expires_at: [`Nullable(${time})`, 'optional_time'],
  link_tags: ['Array(String)', 'texts'],
  user_id: ['String', 'text'],
  user_name: ['String', 'text'],
  user_email: ['String', 'text'],
  user_attributes: [compressed, 'json'],
  team_id: ['String', 'text'],
  team_name: ['String', 'text'],
  team_attributes: [compressed, 'json'],
  project_id: [word, 'text'],
  project_name: ['String', 'text'],
  project_attributes: [compressed, 'json'],
  qr_code_id: ['String', 'text'],
  qr_code_name: ['String', 'text'],
  qr_code_attributes: [compressed, 'json'],
  visitor_id: ['String', 'text'],
  session_id: ['String', 'text'],
  ip_address: ['String', 'text'],
  country: [word, 'text'],
  city: ['String', 'text'],
  device_type: [word, 'text'],
  browser: [word, 'text'],
  os: [word, 'text'],
  user_agent: ['String', 'text'],
  referrer: ['String', 'text'],
  utm_source: ['String', 'text'],
  utm_medium: ['String', 'text'],
  utm_campaign: ['String', 'text'],
  utm_term: ['String', 'text'],
  utm_content: ['String', 'text'],
  time_spent_sec: ['Float64', 'number'],
  is_bounce: ['Bool DEFAULT true', 'flag'],
  is_qr_scan: ['Bool', 'flag'],
  conversion_type: [word, 'text'],
  conversion_value: ['Float64', 'number'],
  ingest_warnings: warnings,
  // From enrichment. Without it a line is what it was before the column existed.
  is_bot: ['Bool DEFAULT false', 'optional_flag'],
} as const satisfies Columns

/** The columns of `dead_letters`. */
export const deadLetterColumns = {
  uuid: ['UUID', 'plain'],
  project: [word, 'text'],
  protocol: [word, 'plain'],
  // Where the event was rejected: `normalise` (at intake), or the sink that refused the record.
  stage: [word, 'plain'],
  // The error code, or the sink's own word for its error.
  reason: [word, 'text'],
  detail: ['String', 'text'],
  received_at: [time, 'time'],
  ip: ['String', 'text'],
  // The event as sent (JSON text) or the record's line, cut at `deadLetterRawBytesMax`.
  raw: [compressed, 'text'],
} as const satisfies Columns

type ValueOf = {
  plain: string
  text: string
  json: JsonText
  exact: JsonText
  time: number
  optional_time: number | null
  number: number
  flag: boolean
  optional_flag: boolean | undefined
  texts: readonly string[]
}

/** A row of the table that has these columns. */
export type RowOf<C extends Columns> = { -readonly [Name in keyof C]: ValueOf[C[Name][1]] }

/** A row of `events`: from the capture, report and telemetry contracts. */
export type EventRow = RowOf<typeof eventColumns> & { source: Exclude<Source, 'link'> }

/**
 * A row of `recordings`: the snapshots of one request and session, or one numbered chunk of them.
 */
export type RecordingRow = RowOf<typeof recordingColumns>

/** A row of `link_events`. */
export type LinkRow = RowOf<typeof linkColumns>

/** A row of `dead_letters`. */
export type DeadLetterRow = RowOf<typeof deadLetterColumns> & {
  protocol: Source
  stage: 'normalise' | 'kafka' | 'clickhouse'
}

type Routed = {
  route: Route
  category: Category
  /** Kafka partition key: `project:distinct_id`; for recordings the session id. */
  key: string
  /** Undefined if the client gave the event no identity. Such an event is never a duplicate. */
  dedupKey: DedupKey | undefined
  /** How the row differs from the event as sent, each kind once. Undefined if it does not. */
  altered?: readonly Alteration[] | undefined
  /** The position in the request, from 0, if the contract's reply names each event. */
  index?: number
  /**
   * The line, if another thread has encoded the event. Then `row` has only the columns that journal
   * records and quotas need.
   */
  encoded?: Uint8Array
}

/**
 * The object of which `row.properties` is the JSON. The steps between normalisation and encoding
 * look into it, so that none of them parses the JSON again.
 */
export type SentProperties = Readonly<Record<string, unknown>>

/** An event after normalisation: its row is complete and not yet encoded. */
export type CanonicalEvent =
  | ({ kind: 'event'; row: EventRow; properties?: SentProperties | undefined } & Routed)
  | ({ kind: 'recording'; row: RecordingRow } & Routed)
  | ({
      kind: 'link'
      row: LinkRow
      /** Whether `row.user_agent` is a field of the event. Else it is the header of the request. */
      isAgentSent?: boolean
    } & Routed)

/**
 * One rejected event of an accepted request. `raw` is the event as sent, after JSON parsing.
 * `project` is the id of the event's own project, if a request may hold events of several.
 * If `rawText` is set, it is stored: another thread has parsed the event, or its project keeps less.
 */
export type Rejection = EventFault & { raw: unknown; project?: string; rawText?: JsonText }
