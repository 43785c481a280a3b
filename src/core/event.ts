import type { ErrorCode } from './errors.ts'

// The journal stores the numbers of these three tables, one byte each (docs/journal.md): a number
// never changes and is never reused.

export const kindNumbers = { event: 0, recording: 1, link: 2, dead_letter: 3 } as const
/** What a journal record holds; it decides table and topic. */
export type Kind = keyof typeof kindNumbers

export const sourceNumbers = { capture: 0, telemetry: 1, report: 2, link: 3 } as const
/** Which contract the event came by, as stored in `events.source` and sent as a Kafka header. */
export type Source = keyof typeof sourceNumbers

export const routeNumbers = { main: 0, overflow: 1, historical: 2 } as const
/** The topic of an event among those of its kind; ClickHouse ignores it. */
export type Route = keyof typeof routeNumbers

/** What a quota counts. */
export type Category = 'events' | 'recordings' | 'exceptions'

/** What makes an event itself: a 128-bit hash, 32 lower-case hex digits. */
export type DedupKey = string

/** JSON text that is already encoded and well-formed: it is spliced into a line as it stands. */
export type JsonText = string

/** A row of `events`. The line has these keys, in this order, with the two times as ISO 8601. */
export type EventRow = {
  uuid: string
  project: string
  source: Exclude<Source, 'link'>
  event: string
  distinct_id: string
  session_id: string
  timestamp: number
  received_at: number
  ip: string
  user_agent: string
  library: string
  properties: JsonText
  user: JsonText
  historical: boolean
}

/** A row of `recordings`: the snapshots of one request and session, or one numbered chunk of them. */
export type RecordingRow = {
  uuid: string
  project: string
  session_id: string
  distinct_id: string
  window_id: string
  snapshot_source: string
  timestamp: number
  received_at: number
  ip: string
  user_agent: string
  library: string
  chunk: number
  chunks: number
  /** A JSON array; where `chunks` is above 1, a JSON string with this chunk's piece of the array's text. */
  snapshot_items: JsonText
}

/**
 * A row of `link_events`: one column per documented field, of the same name and in the same order. Times in ms,
 * null where the client sent none; what it did not send is empty, 0, or the default of the contract.
 */
export type LinkRow = LinkCore &
  LinkTarget &
  LinkPeople &
  LinkVisitor &
  LinkReferral &
  LinkInteraction

export type LinkCore = {
  uuid: string
  received_at: number
  event_id: string
  event_type: string
  event_time: number
  event_attributes: JsonText
}

export type LinkTarget = {
  link_id: string
  link_slug: string
  link_label: string
  link_title: string
  link_original_url: string
  link_attributes: JsonText
  link_created_at: number | null
  link_expires_at: number | null
  link_tags: readonly string[]
}

export type LinkPeople = {
  user_id: string
  user_name: string
  user_email: string
  user_attributes: JsonText
  team_id: string
  team_name: string
  team_attributes: JsonText
  project_id: string
  project_name: string
  project_attributes: JsonText
  qr_code_id: string
  qr_code_name: string
  qr_code_attributes: JsonText
}

export type LinkVisitor = {
  visitor_id: string
  session_id: string
  ip_address: string
  country: string
  city: string
  device_type: string
  browser: string
  os: string
  user_agent: string
}

export type LinkReferral = {
  referrer: string
  utm_source: string
  utm_medium: string
  utm_campaign: string
  utm_term: string
  utm_content: string
}

export type LinkInteraction = {
  time_spent_sec: number
  is_bounce: boolean
  is_qr_scan: boolean
  conversion_type: string
  conversion_value: number
}

export type DeadLetterRow = {
  uuid: string
  project: string
  protocol: string
  /** Where it was refused: `normalise` at intake, or the sink that could not take it. */
  stage: string
  /** The error code, or the sink's own word. */
  reason: string
  detail: string
  received_at: number
  ip: string
  /** What was sent, as JSON text or bytes in latin1, cut at `deadLetterRawBytesMax`. */
  raw: string
}

type Routed = {
  route: Route
  category: Category
  /** Kafka partition key: `project:distinct_id`, for recordings the session id. */
  key: string
  /** Absent where the client gave the event no identity: such an event is never a duplicate. */
  dedupKey: DedupKey | undefined
}

/** An event that passed normalisation: everything decided, not yet encoded. */
export type CanonicalEvent =
  | ({ kind: 'event'; row: EventRow } & Routed)
  | ({ kind: 'recording'; row: RecordingRow } & Routed)
  | ({ kind: 'link'; row: LinkRow } & Routed)

/** One rejected event of an accepted request. `raw` is what was sent, as parsed. */
export type Rejection = {
  index: number
  code: ErrorCode
  message: string
  field?: string
  raw: unknown
}
