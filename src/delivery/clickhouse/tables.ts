import type { Config } from '../../config/config.ts'
import {
  type Columns,
  deadLetterColumns,
  eventColumns,
  type Kind,
  linkColumns,
  recordingColumns,
} from '../../core/event.ts'
import { comments, firstWinsComment } from './comments.ts'

/** The table of each kind of record. */
export const tableOf = {
  event: 'events',
  recording: 'recordings',
  link: 'link_events',
  dead_letter: 'dead_letters',
} as const satisfies Record<Kind, string>

export type TableName = (typeof tableOf)[Kind]

/**
 * Tables of events, link events and recordings keep rows for EVENTS_TTL_DAYS, or for ever if it is
 * 0.
 */
export type SchemaSettings = Pick<Config, 'CLICKHOUSE_CLUSTER' | 'EVENTS_TTL_DAYS'> &
  Partial<Pick<Config, 'EVENTS_COLUMNS'>> & {
    /** Further settings of new tables. */
    tableSettings?: TableSettings
  }

/** A table without what differs between one server and a cluster. */
export type Table = {
  name: TableName
  /** The columns of the canonical line. */
  columns: Columns
  /** Columns that are computed when they are read. */
  aliases?: Readonly<Record<string, string>>
  indexes: readonly string[]
  /** A prefix of `orderBy`: ClickHouse keeps only these columns of every 8192nd row in memory. */
  primaryKey?: string
  /** Exactly the columns that identify a row: of rows that are equal in them one is kept. */
  orderBy: string
  /** Days; undefined means EVENTS_TTL_DAYS. */
  ttlDays?: number
}

const minmax = (column: string) => `INDEX ${column}_range ${column} TYPE minmax GRANULARITY 1`
/** One row in 40 granules without the value is read anyway (0.025): 0.9 bytes a value. */
const bloom = (column: string) =>
  `INDEX ${column}_filter ${column} TYPE bloom_filter(0.025) GRANULARITY 1`

/**
 * All tables. `distinct_id` itself stands behind its hash, and `source` behind the uuid, because a
 * client can choose a distinct_id with the hash of another one, and the uuid of another contract.
 * The read-back after an uncertain insert searches by time of receipt, which no sorting key has.
 */
export const tables: readonly Table[] = [
  {
    name: 'events',
    columns: eventColumns,
    indexes: [
      ...['received_at', 'timestamp'].map(minmax),
      ...['uuid', 'distinct_id', 'session_id'].map(bloom),
    ],
    primaryKey: 'project, toDate(timestamp), event, cityHash64(distinct_id), uuid',
    orderBy:
      'project, toDate(timestamp), event, cityHash64(distinct_id), uuid, source, distinct_id',
  },
  {
    name: 'recordings',
    columns: recordingColumns,
    indexes: [
      ...['received_at', 'timestamp'].map(minmax),
      ...['session_id', 'distinct_id'].map(bloom),
    ],
    primaryKey: 'project, toDate(timestamp), session_id, timestamp, uuid, chunk',
    orderBy: 'project, toDate(timestamp), session_id, timestamp, uuid, chunk, distinct_id',
  },
  {
    name: 'link_events',
    columns: linkColumns,
    indexes: [
      ...['received_at', 'event_time'].map(minmax),
      ...['uuid', 'event_id', 'visitor_id', 'session_id'].map(bloom),
    ],
    orderBy: 'project_id, toDate(event_time), event_type, event_id',
  },
  {
    name: 'dead_letters',
    columns: deadLetterColumns,
    aliases: { source: 'LowCardinality(String) ALIAS protocol' },
    indexes: [minmax('received_at')],
    orderBy: 'project, toDate(received_at), reason, uuid',
    // Long enough to notice and repair the cause. Dead letters are not data of the project.
    ttlDays: 90,
  },
]

/** The differences between one server and a cluster. */
export type Dialect = { onCluster: string; engine: string; deduplicationWindow: string }

export function toDialect(cluster: string | undefined): Dialect {
  if (cluster === undefined)
    return {
      onCluster: '',
      engine: 'ReplacingMergeTree',
      deduplicationWindow: 'non_replicated_deduplication_window',
    }
  return {
    onCluster: ` ON CLUSTER ${quoted(cluster)}`,
    engine: 'ReplicatedReplacingMergeTree',
    deduplicationWindow: 'replicated_deduplication_window',
  }
}

export const quoted = (name: string) => `\`${name.replace(/[\\`]/g, '\\$&')}\``

export type TableOptions = {
  /** A name other than the table's. */
  name?: string
  /** EVENTS_TTL_DAYS */
  ttlDays: number
  /** Further columns. */
  added?: readonly string[]
  /** Further table settings; values as in SQL. */
  settings?: TableSettings
}

export type TableSettings = Readonly<Record<string, string | number>>

/**
 * Of two rows with the same sorting key a merge keeps the one with the larger version. This one
 * falls as `received_at` rises, so the row received first stays.
 */
const firstWins =
  'UInt64 MATERIALIZED bitNot(toUInt64(toUnixTimestamp64Milli(received_at))) CODEC(T64, LZ4)'

/** A column with its comment, which stands before its codec. */
export function toDefinition(column: string, type: string, comment = ''): string {
  const [plain, codec] = type.split(/ (?=CODEC)/)
  return `${column} ${plain} COMMENT ${toLiteral(comment)}${codec === undefined ? '' : ` ${codec}`}`
}

export const toLiteral = (value: string) => `'${value.replace(/[\\']/g, '\\$&')}'`

/**
 * Partitions go by the month of receipt: the time that a client claims must not decide how many
 * parts an insert creates.
 */
export function toCreateTable(table: Table, dialect: Dialect, options: TableOptions): string {
  const { name = table.name, ttlDays, added = [], settings = {} } = options
  const { columns: texts, table: comment } = comments[table.name]
  const columns = [
    ...Object.entries(table.columns).map(([column, [type]]) => [column, type] as const),
    ...Object.entries(table.aliases ?? {}),
  ].map(([column, type]) => toDefinition(column, type, texts[column]))
  return toCreate(
    {
      name,
      definitions: [
        ...columns,
        ...added,
        toDefinition('first_wins', firstWins, firstWinsComment),
        ...table.indexes,
      ],
      version: 'first_wins',
      partitionBy: 'toYYYYMM(received_at)',
      ...(table.primaryKey === undefined ? {} : { primaryKey: table.primaryKey }),
      orderBy: table.orderBy,
      ttl: toTtl(table.ttlDays ?? ttlDays),
      settings,
      comment,
    },
    dialect,
  )
}

/**
 * Retention counts from the time of receipt, so that a client whose clock is wrong loses no events.
 */
export const toTtl = (days: number) =>
  days > 0 ? `toDateTime(received_at) + toIntervalDay(${days})` : undefined

export type NewTable = {
  name: string
  definitions: readonly string[]
  version: string
  partitionBy: string
  primaryKey?: string
  orderBy: string
  ttl?: string | undefined
  settings?: TableSettings
  comment?: string
}

/** Records leave the journal after their insert, so an insert must be synced to the disk. */
const durability = { fsync_after_insert: 1, fsync_part_directory: 1 }

export function toCreate(table: NewTable, dialect: Dialect): string {
  const { onCluster, engine, deduplicationWindow } = dialect
  const settings = { ...durability, [deduplicationWindow]: 1000, ...table.settings }
  return [
    `CREATE TABLE IF NOT EXISTS ${table.name}${onCluster} (${table.definitions.join(', ')})`,
    `ENGINE = ${engine}(${table.version})`,
    `PARTITION BY ${table.partitionBy}`,
    ...(table.primaryKey === undefined ? [] : [`PRIMARY KEY (${table.primaryKey})`]),
    `ORDER BY (${table.orderBy})`,
    ...(table.ttl === undefined ? [] : [`TTL ${table.ttl}`]),
    `SETTINGS ${Object.entries(settings)
      .map(([setting, value]) => `${setting} = ${value}`)
      .join(', ')}`,
    ...(table.comment === undefined ? [] : [`COMMENT ${toLiteral(table.comment)}`]),
  ].join('\n')
}
