import { createQueryError } from '../chdb/exceptions.ts'

export type Mode = 'read-only' | 'writable'

/** Limits of one read-only query. */
export type Limits = { memoryBytesMax: number; executionMsMax: number }

export type Settings = Readonly<Record<string, string>>

/**
 * The settings of a query, in the order in which they are applied. In read-only mode `readonly`
 * comes last because it locks all others. Throws QueryError for a refused setting.
 */
export function toQuerySettings(options: {
  mode: Mode
  limits: Limits
  /** From the URL. */
  given: Settings
  queryId: string
  isGet: boolean
}): Settings {
  const { mode, limits, given, isGet } = options
  const log_comment = toLogComment(options)
  if (mode === 'writable')
    return { implicit_select: '0', ...given, log_comment, ...(isGet ? { readonly: '2' } : {}) }
  const bounds = toBounds(limits)
  return { ...bounds, ...toAllowed(given, bounds), ...fixed, log_comment, readonly: '1' }
}

/**
 * The settings with those of a SETTINGS clause of the statement, which have the same rules. The
 * bounds are in `settings`. Throws QueryError for a refused setting.
 */
export function withClause(settings: Settings, clause: Settings): Settings {
  const { readonly, ...others } = settings
  return { ...others, ...toAllowed(clause, settings), readonly: readonly ?? '1' }
}

/**
 * chDB generates query ids and accepts none, but system.processes shows the settings of a query, so
 * the client's id is stored there. A comment from the client follows on the next line.
 */
function toLogComment({ queryId, given }: { queryId: string; given: Settings }): string {
  return `${logCommentPrefix}${queryId}\n${given.log_comment ?? ''}`.trimEnd()
}

export const logCommentPrefix = 'query_id='

/** Bounds that a read-only query may lower. */
function toBounds({ memoryBytesMax, executionMsMax }: Limits): Settings {
  return {
    max_memory_usage: String(memoryBytesMax),
    max_execution_time: String(executionMsMax / 1000),
    max_threads: '1', // One core a query; ingest keeps the others.
  }
}

/**
 * One thread for formats too, no introspection, and no spilling to the disk, which the journal
 * needs.
 */
const fixed: Settings = {
  implicit_select: '0',
  timeout_overflow_mode: 'throw',
  max_final_threads: '1',
  output_format_parallel_formatting: '0',
  output_format_parquet_parallel_encoding: '0',
  output_format_arrow_parallel_encoding: '0',
  max_bytes_ratio_before_external_group_by: '0',
  max_bytes_ratio_before_external_sort: '0',
  max_bytes_ratio_before_external_join: '0',
  allow_introspection_functions: '0',
}

/** For parsing statements of any length. Each statement runs under a limit of its own. */
export const inspectorSettings: Settings = {
  implicit_select: '0',
  max_query_size: String(64 * 1024 * 1024),
  readonly: '1',
}

/**
 * Settings for the output format, the meaning of names and nulls, and further bounds. None names a
 * file.
 */
export const allowed = new RegExp(
  `^(${[
    'output_format_(json|csv|tsv|pretty|parquet|arrow|orc|native|binary|bson|msgpack|markdown|sql_insert|values)_\\w+',
    'output_format_(decimal_trailing_zeros|float_precision|write_statistics|trim_fixed_string|enable_streaming)',
    'format_(csv|tsv)_(delimiter|null_representation)',
    'date_time_output_format|bool_(true|false)_representation|session_timezone',
    'final|extremes|limit|offset|join_use_nulls|group_by_use_nulls|transform_null_in',
    'union_default_mode|prefer_column_name_to_alias|count_distinct_implementation',
    'aggregate_functions_null_for_empty|empty_result_for_aggregation_by_empty_set',
    'max_(result|rows_to|bytes_to)_(rows|bytes|read)|(result|read)_overflow_mode|max_block_size',
    'max_rows_to_(group_by|sort)|(group_by|sort)_overflow_mode',
    'max_execution_time|max_memory_usage|max_threads',
  ].join('|')})$`,
)

/**
 * Settings whose absence would change the result or its bytes, or that ask for more rights: a client
 * must learn that they have no effect. Every other setting that is not allowed is ignored, because
 * drivers send settings for inserts, sessions, caches and the network by default.
 */
const refused = new RegExp(
  `^(${[
    'readonly|dialect|allow_(ddl|introspection_functions|settings_after_format_in_insert)',
    'additional_\\w+|\\w+_filters?|implicit_\\w+|limit_by_\\w+|\\w*row_policy\\w*',
    '(output_)?format_\\w+|\\w+_representation|\\w+_overflow_mode',
    '(aggregate|analyzer|cast|decimal|enable_named|transform)_\\w+|\\w*_use_nulls',
    'sql_\\w+|\\w*_path|\\w*_schema',
  ].join('|')})$`,
)

/** Throws QueryError for a refused setting. `bounds` holds the highest value of some settings. */
export function toAllowed(given: Settings, bounds: Settings): Settings {
  const entries = Object.entries(given).flatMap(([name, value]): [string, string][] => {
    if (!/^\w+$/.test(name)) throw createNameError(name)
    if (allowed.test(name)) return [[name, toBounded(value, bounds[name])]]
    const isHarmless = !refused.test(name) || (name === 'readonly' && /^[12]$/.test(value))
    if (isHarmless) return []
    throw createQueryError('READONLY', `Cannot modify '${name}' setting in readonly mode`)
  })
  return Object.fromEntries(entries)
}

/**
 * The value, or the bound if it is above, or not a plain number in it: zero would lift the bound,
 * and ClickHouse accepts suffixes.
 */
function toBounded(value: string, bound: string | undefined): string {
  if (bound === undefined) return value
  const isPlain = /^\d{1,15}(\.\d{1,15})?$/.test(value)
  return isPlain && Number(value) > 0 && Number(value) <= Number(bound) ? value : bound
}

const createNameError = (name: string) =>
  createQueryError('BAD_ARGUMENTS', `Invalid setting name: ${name}`)

/** The SET statement. Throws QueryError for an invalid name. */
export function toSetStatement(settings: Settings): string {
  const pairs = Object.entries(settings).map(([name, value]) => {
    if (!/^\w+$/.test(name)) throw createNameError(name)
    return `${name} = ${toLiteral(value)}`
  })
  return `SET ${pairs.join(', ')}`
}

/** A string literal in ClickHouse's SQL. */
export function toLiteral(value: string): string {
  return `'${value.replace(/[\\']/g, '\\$&')}'`
}
