import { createQueryError } from '../chdb/exceptions.ts'

export type Mode = 'read-only' | 'writable'

/** Limits of one read-only query. */
export type Limits = { memoryBytesMax: number; executionMsMax: number }

export type Settings = Readonly<Record<string, string>>

/**
 * The settings of a query, in the order in which they are applied. In read-only mode it throws
 * QueryError for a setting that is not allowed or too high, and `readonly` comes last because it
 * locks all others.
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
  for (const [name, value] of Object.entries(given)) assertAllowed(name, value, limits)
  const { readonly: _, ...allowedSettings } = given
  return { ...toBounds(limits), ...allowedSettings, ...fixed, log_comment, readonly: '1' }
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
const allowed = new RegExp(
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
    'max_execution_time|max_memory_usage|max_threads|readonly',
  ].join('|')})$`,
)

function assertAllowed(name: string, value: string, limits: Limits): void {
  const isUnlocking = name === 'readonly' && value !== '1' && value !== '2'
  if (!allowed.test(name) || isUnlocking)
    throw createQueryError('READONLY', `Cannot modify '${name}' setting in readonly mode`)
  const bound = toBound(name, limits)
  // Zero would lift the bound, and ClickHouse accepts suffixes: allow only a plain number in the
  // bound.
  const isPlain = /^\d{1,15}(\.\d+)?$/.test(value)
  if (bound !== undefined && !(isPlain && Number(value) > 0 && Number(value) <= bound))
    throw createQueryError(
      'SETTING_CONSTRAINT_VIOLATION',
      `Setting ${name} must be in 1..${bound} here`,
    )
}

function toBound(name: string, limits: Limits): number | undefined {
  if (name === 'max_execution_time') return limits.executionMsMax / 1000
  if (name === 'max_memory_usage') return limits.memoryBytesMax
  return name === 'max_threads' ? 1 : undefined
}

/** The SET statement. Throws QueryError for an invalid name. */
export function toSetStatement(settings: Settings): string {
  const pairs = Object.entries(settings).map(([name, value]) => {
    if (!/^\w+$/.test(name))
      throw createQueryError('BAD_ARGUMENTS', `Invalid setting name: ${name}`)
    return `${name} = ${toLiteral(value)}`
  })
  return `SET ${pairs.join(', ')}`
}

/** A string literal in ClickHouse's SQL. */
export function toLiteral(value: string): string {
  return `'${value.replace(/[\\']/g, '\\$&')}'`
}
