import type { Kind } from '../../core/event.ts'

/** Which table takes a record. */
export const tableOf = {
  event: 'events',
  recording: 'recordings',
  link: 'link_events',
  dead_letter: 'dead_letters',
} as const satisfies Record<Kind, string>

export type TableName = (typeof tableOf)[Kind]

export type Table = {
  name: TableName
  columns: readonly string[]
  partitionBy: string
  orderBy: string
  ttl?: string
}

const time = `DateTime64(3, 'UTC')`
const word = 'LowCardinality(String)'
const text = 'String CODEC(ZSTD(1))'
/**
 * The read-back after an uncertain insert knows a row's time of receipt, which no sorting key
 * holds.
 */
const receivedAt = 'INDEX received_at_range received_at TYPE minmax GRANULARITY 1'

/** The tables as migration 1 makes them. A row replaces an older one of the same sorting key. */
export const firstTables: readonly Table[] = [
  {
    name: 'events',
    columns: [
      'uuid UUID',
      `project ${word}`,
      `source Enum8('capture' = 1, 'telemetry' = 2, 'report' = 3)`,
      `event ${word}`,
      'distinct_id String',
      'session_id String',
      `timestamp ${time}`,
      `received_at ${time}`,
      'ip String',
      'user_agent String',
      `library ${word}`,
      `properties ${text}`,
      'user String',
      'historical Bool',
      receivedAt,
    ],
    partitionBy: 'toYYYYMM(timestamp)',
    orderBy: 'project, toDate(timestamp), event, cityHash64(distinct_id), uuid',
  },
  {
    name: 'recordings',
    columns: [
      'uuid UUID',
      `project ${word}`,
      'session_id String',
      'distinct_id String',
      'window_id String',
      `snapshot_source ${word}`,
      `timestamp ${time}`,
      `received_at ${time}`,
      'ip String',
      'user_agent String',
      `library ${word}`,
      'chunk UInt32',
      'chunks UInt32',
      `snapshot_items ${text}`,
      receivedAt,
    ],
    partitionBy: 'toYYYYMM(timestamp)',
    orderBy: 'project, toDate(timestamp), session_id, timestamp, uuid, chunk',
  },
  {
    name: 'link_events',
    columns: [
      'uuid UUID',
      ...['event_id String', `event_type ${word}`, `event_time ${time}`],
      ...[`event_attributes ${text}`, 'link_id String', 'link_slug String', 'link_label String'],
      ...['link_title String', 'link_original_url String', `link_attributes ${text}`],
      ...[`link_created_at Nullable(${time})`, `link_expires_at Nullable(${time})`],
      ...['link_tags Array(String)', 'user_id String', 'user_name String', 'user_email String'],
      ...[`user_attributes ${text}`, 'team_id String', 'team_name String'],
      ...[`team_attributes ${text}`, `project_id ${word}`, 'project_name String'],
      ...[`project_attributes ${text}`, 'qr_code_id String', 'qr_code_name String'],
      ...[`qr_code_attributes ${text}`, 'visitor_id String', 'session_id String'],
      ...['ip_address String', `country ${word}`, 'city String', `device_type ${word}`],
      ...[`browser ${word}`, `os ${word}`, 'user_agent String', 'referrer String'],
      ...['utm_source', 'utm_medium', 'utm_campaign', 'utm_term', 'utm_content'].map(
        (name) => `${name} String`,
      ),
      ...['time_spent_sec Float64', 'is_bounce Bool DEFAULT true', 'is_qr_scan Bool'],
      ...[`conversion_type ${word}`, 'conversion_value Float64', `received_at ${time}`],
      receivedAt,
    ],
    partitionBy: 'toYYYYMM(event_time)',
    orderBy: 'project_id, toDate(event_time), event_type, event_id',
  },
  {
    name: 'dead_letters',
    columns: [
      'uuid UUID',
      ...[`project ${word}`, `protocol ${word}`, `stage ${word}`, `reason ${word}`],
      ...['detail String', `received_at ${time}`, 'ip String', `raw ${text}`],
      receivedAt,
    ],
    partitionBy: 'toYYYYMM(received_at)',
    orderBy: 'project, toDate(received_at), reason, uuid',
    // Long enough for somebody to notice and repair; they are no data of the project's.
    ttl: 'toDateTime(received_at) + toIntervalDay(90)',
  },
]
