import {
  type Columns,
  deadLetterColumns,
  eventColumns,
  type Kind,
  linkColumns,
  recordingColumns,
} from '../../core/event.ts'

/** The table of each kind of record. */
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

/**
 * The read-back after an uncertain insert searches by time of receipt, which no sorting key
 * contains.
 */
const receivedAt = 'INDEX received_at_range received_at TYPE minmax GRANULARITY 1'

/** Migration 1 put `received_at` last, while the canonical line has it second. */
const { received_at, ...otherLinkColumns } = linkColumns
const linkColumnsInOrder = { ...otherLinkColumns, received_at }

function toColumns(columns: Columns): string[] {
  return [...Object.entries(columns).map(([name, [type]]) => `${name} ${type}`), receivedAt]
}

/**
 * The tables as migration 1 creates them. A row replaces an older one with the same sorting key.
 */
export const firstTables: readonly Table[] = [
  {
    name: 'events',
    columns: toColumns(eventColumns),
    partitionBy: 'toYYYYMM(timestamp)',
    orderBy: 'project, toDate(timestamp), event, cityHash64(distinct_id), uuid',
  },
  {
    name: 'recordings',
    columns: toColumns(recordingColumns),
    partitionBy: 'toYYYYMM(timestamp)',
    orderBy: 'project, toDate(timestamp), session_id, timestamp, uuid, chunk',
  },
  {
    name: 'link_events',
    columns: toColumns(linkColumnsInOrder),
    partitionBy: 'toYYYYMM(event_time)',
    orderBy: 'project_id, toDate(event_time), event_type, event_id',
  },
  {
    name: 'dead_letters',
    columns: toColumns(deadLetterColumns),
    partitionBy: 'toYYYYMM(received_at)',
    orderBy: 'project, toDate(received_at), reason, uuid',
    // Long enough to notice and repair the cause. Dead letters are not data of the project.
    ttl: 'toDateTime(received_at) + toIntervalDay(90)',
  },
]
