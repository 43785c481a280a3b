import { join } from 'node:path'
import type { Config } from '../../config/config.ts'

// Nothing else of ClickHouse is imported here: the main thread reads the settings, and a server without
// this sink loads no more than that.

/**
 * Plain data: it is sent to the delivery thread. Without CLICKHOUSE_URL the embedded ClickHouse is
 * used.
 */
export type ClickHouseSettings = Pick<
  Config,
  Extract<keyof Config, `CLICKHOUSE_${string}`> | 'EVENTS_TTL_DAYS' | 'EVENTS_COLUMNS' | 'dataDir'
>

/**
 * Throws, in words for the operator, if settings contradict each other or chDB is needed but
 * missing.
 */
export function parseClickHouseSettings(settings: ClickHouseSettings): ClickHouseSettings {
  const { CLICKHOUSE_URL: url, CLICKHOUSE_CLUSTER: cluster } = settings
  if (cluster !== undefined && url === undefined)
    throw new Error('CLICKHOUSE_CLUSTER is set, but CLICKHOUSE_URL is not; set it too')
  // A macro such as {cluster} is allowed too.
  if (cluster !== undefined && !/^[\w.{}-]+$/.test(cluster))
    throw new Error(`CLICKHOUSE_CLUSTER "${cluster}" is not a valid name of a cluster`)
  // The message omits the value, which contains a password.
  if (url !== undefined && !/^https?:\/\/[^/]/.test(url))
    throw new Error('CLICKHOUSE_URL does not start with http:// or https:// and a host')
  assertDifferent(settings.EVENTS_COLUMNS)
  if (url === undefined) assertChdbInstalled()
  return settings
}

/** Each column costs time at every insert. */
const propertyColumnsMax = 50

function assertDifferent(properties: readonly string[]): void {
  if (properties.length > propertyColumnsMax)
    throw new Error(`EVENTS_COLUMNS has ${properties.length} names; at most ${propertyColumnsMax}`)
  const byColumn = new Map<string, string>()
  for (const property of properties) {
    const column = toPropertyColumn(property)
    const other = byColumn.get(column)
    if (other !== undefined)
      throw new Error(
        `EVENTS_COLUMNS names ${other} and ${property}, which have the same column ${column}; name one of them`,
      )
    byColumn.set(column, property)
  }
}

/** `$current_url` has the column `property_current_url`. */
export const toPropertyColumn = (property: string) =>
  `property_${property.replace(/^\$/, '').replace(/\W/g, '_')}`

/** Folder of the embedded ClickHouse. */
export const toEmbeddedFolder = (dataDir: string) => join(dataDir, 'clickhouse')

/**
 * Throws before any event is accepted if the package is missing. Whether chDB can be loaded turns
 * out later, in the delivery thread.
 */
function assertChdbInstalled(): void {
  try {
    Bun.resolveSync('chdb/connection', import.meta.dir)
  } catch {
    throw new Error(
      'The embedded ClickHouse (npm package chdb) is not installed: set CLICKHOUSE_URL to use a server instead.',
    )
  }
}
