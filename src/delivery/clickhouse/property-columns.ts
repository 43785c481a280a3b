import { toPropertyColumn } from './settings.ts'
import type { Migration } from './table-copy.ts'
import { quoted, toLiteral } from './tables.ts'

/** Marks a column that the server has made, so that no other one is dropped. */
const mark = 'EVENTS_COLUMNS: '

/**
 * Gives the properties of EVENTS_COLUMNS a column of `events`, and drops columns of properties that
 * the setting no longer names. Rows from before have the value too: ClickHouse computes it when it
 * reads them, and stores it when it merges their parts.
 */
export async function setPropertyColumns(migration: Migration): Promise<void> {
  const { clickhouse, settings, dialect } = migration
  const wanted = new Map((settings.EVENTS_COLUMNS ?? []).map((one) => [toPropertyColumn(one), one]))
  const found = await clickhouse.query<Record<'name' | 'comment', string>>(
    `SELECT name, comment FROM system.columns WHERE database = currentDatabase() AND table = 'events'
AND startsWith(name, 'property_')`,
  )
  const current = new Map(found.map(({ name, comment }) => [name, comment]))
  const changes = [
    ...[...current]
      .filter(([name, comment]) => comment.startsWith(mark) && isOther(comment, wanted.get(name)))
      .map(([name]) => `DROP COLUMN IF EXISTS ${quoted(name)}`),
    ...[...wanted]
      .filter(([name, property]) => {
        const comment = current.get(name)
        return comment === undefined || (comment.startsWith(mark) && isOther(comment, property))
      })
      .map(([name, property]) => `ADD COLUMN IF NOT EXISTS ${toDefinition(name, property)}`),
  ]
  // One statement each: a name that is dropped may be added again for another property.
  for (const change of changes)
    await clickhouse.command(`ALTER TABLE events${dialect.onCluster} ${change}`)
}

const isOther = (comment: string, property: string | undefined) => comment !== `${mark}${property}`

const toDefinition = (name: string, property: string) =>
  `${quoted(name)} String MATERIALIZED JSONExtractString(properties, ${toLiteral(property)}) \
COMMENT ${toLiteral(`${mark}${property}`)} CODEC(ZSTD(1))`
