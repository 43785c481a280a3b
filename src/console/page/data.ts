/**
 * The replies of the data routes, as far as the page uses them. Fields with the ending `_ms` are durations, except those with
 * `at` or `received`. `test/unit/console/page-data.test.ts` compares them with the types of the server.
 */

export type Session = {
  version: string
  environment: string
  url: string
  workers: number
  sinks: string[]
  clickhouse: 'embedded' | 'remote' | 'off'
  can_query: boolean
  query_url: string | null
  projects_file: boolean
  contracts: string[]
  notes: string[]
}

export type Rates = {
  requests: number
  events: number
  accepted: number
  duplicate: number
  rejected: number
  limited: number
  refused_requests: number
}

export type Latency = {
  p50_ms: number | null
  p95_ms: number | null
  p99_ms: number | null
} | null

type ByContract<T> = Record<string, T>

export type SinkView = {
  name: string
  state: 'healthy' | 'unhealthy'
  waiting_events: number
  lag_records: number
  shipped_events: number
  dead_lettered_events: number
  retries: number
  last_error: string | null
  /** When the oldest event was received that waits. */
  oldest_ms: number | null
}

export type FlowView = {
  nodes: { id: string; label: string; events: number }[]
  edges: { from: string; to: string; events: number }[]
  sums: { name: string; left: number; right: number; agrees: boolean }[]
}

export type OverviewView = {
  at_ms: number
  interval_seconds: number
  rates: ByContract<Rates>
  latency: ByContract<Latency>
  totals: ByContract<Record<string, number>>
  rejected: { contract: string; reason: string; events: number; hint: string }[]
  altered: { project: string; kind: string; events: number; hint: string }[]
  sinks: SinkView[]
  journal: {
    bytes: number
    bytes_max: number
    full: boolean
    failing: boolean
    oldest_seconds: number
    durability: string
  }
  disk: { bytes: number; free_bytes: number }
  memory: { rss_bytes: number; intake_bytes: number; intake_requests: number }
  connections: { sockets: number; requests_in_flight: number }
  processes: { ready: number; restarts: number }
  redis: 'off' | 'healthy' | 'unhealthy'
  flow: FlowView
  notes: string[]
}

export type HistoryPoint = {
  at_ms: number
  rates: ByContract<Rates>
  latency: ByContract<Latency>
  waiting: Record<string, number>
  journal_bytes: number
  disk_free_bytes: number
  rss_bytes: number
  sockets: number
  requests_in_flight: number
}

export type LiveItem = {
  seq: number
  at_ms: number
  outcome: 'stored' | 'duplicate' | 'quota_dropped' | 'rejected' | 'refused'
  contract: string
  project: string
  event: string
  distinct_id: string
  uuid: string | null
  request_id: string
  client_ip: string
  path: string
  reason: string | null
  message: string | null
  hint: string | null
  events: number
}

type RequestView = {
  id: string
  client_id: string | null
  client_ip: string
  method: string
  path: string
  received_ms: number
}

export type Stage = {
  name: string
  state: 'done' | 'waiting' | 'failed' | 'unknown'
  at_ms: number | null
  since_ms: number | null
  detail: string
}

export type TracedEvent = {
  uuid: string
  kind: string
  contract: string
  project: string
  event: string
  distinct_id: string
  received_ms: number
  outcome: string
  request: RequestView | null
  duplicate_of: { uuid: string; received_ms: number; request_id: string | null } | null
  reason: string | null
  message: string | null
  hint: string | null
  stages: Stage[]
  row: { table: string; columns: Record<string, unknown> } | null
  line: Record<string, unknown> | null
  kafka: { topic: string; partition: number | null } | null
  dead_letter_uuid: string | null
}

export type RefusalView = {
  at_ms: number
  request_id: string
  client_id: string | null
  client_ip: string
  method: string
  path: string
  contract: string
  status: number
  reason: string
  message: string
  hint: string
  events: number
  body: { text: string; bytes: number; cut: boolean; encoding: string } | null
}

export type TraceView = {
  id: string
  at_ms: number
  found: boolean
  events: TracedEvent[]
  refusals: RefusalView[]
  searched: { place: string; complete: boolean; detail: string }[]
  notes: string[]
}

export type Letter = {
  uuid: string
  project: string
  contract: string
  stage: string
  reason: string
  hint: string
  detail: string
  received_ms: number
  client_ip: string
  raw: string
  event: Record<string, unknown> | null
  whole: boolean
  resendable: boolean
  why_not: string | null
}

export type LetterGroup = {
  project: string
  contract: string
  stage: string
  reason: string
  events: number
  first_ms: number
  last_ms: number
  hint: string
  resendable: boolean
  sample: { uuid: string; detail: string; raw: string }
}

export type ResendResult = {
  uuid: string
  verdict: string
  reason: string | null
  message: string | null
  event_uuid: string | null
  request_id: string | null
}

export type QueryReply = {
  meta: { name: string; type: string }[]
  data: Record<string, unknown>[]
  rows: number
  statistics?: { elapsed: number; rows_read: number; bytes_read: number }
}

export type SettingView = {
  name: string
  value: unknown
  default: unknown
  is_default: boolean
  secret: boolean
  description: string
}

export type ProjectsView = {
  file: string | null
  loaded_ms: number | null
  faults: { line: number | null; place: string; message: string }[]
  projects: {
    id: string
    tokens: string[]
    api_keys: number
    requires_key: boolean
    origins: string[] | null
    rate: { per_second: number; burst: number } | null
    quotas: Record<string, unknown>
    enrich: string[]
    bots: 'mark' | 'drop'
    ip: 'keep' | 'truncate' | 'drop'
    drop_properties: string[]
    apps: string[]
  }[]
  snippets: { contract: string; name: string; language: string; code: string }[]
  notes: string[]
}
