import { join } from 'node:path'

/** The folder of the embedded ClickHouse that version 0.1.0 wrote, unpacked in `into`. */
export function unpackOldFolder(into: string): string {
  const archive = join(import.meta.dir, '../fixtures/data-0.1/clickhouse.tar.gz')
  const { exitCode, stderr } = Bun.spawnSync(['tar', 'xzf', archive, '-C', into])
  if (exitCode !== 0) throw new Error(`tar failed: ${stderr}`)
  return join(into, 'clickhouse')
}

/** The event times of link events: their other columns have another order since. */
const contents = [
  ['events', 'tuple(*)'],
  ['link_events', 'tuple(uuid, received_at, event_id, event_time, visitor_id)'],
  // Not the column that a later migration has added.
  ['recordings', 'tuple(* EXCEPT (ingest_warnings))'],
]

/** Per table: all rows with a digest, rows without duplicates, and rows with the earliest receipt. */
export const oldRowsQuery = `SELECT * FROM (${contents
  .map(
    ([table, columns]) => `SELECT '${table}' AS name, count() AS once,
countIf(user_agent = 'first') AS first, (SELECT count() FROM ${table}) AS rows,
(SELECT hex(groupBitXor(sipHash64(toString(${columns})))) FROM ${table}) AS digest
FROM ${table} FINAL`,
  )
  .join(' UNION ALL ')}) ORDER BY name`

/** What `oldRowsQuery` finds after the migration. The digests are those of the old tables. */
export const oldRows = [
  { name: 'events', once: 410, first: 133, rows: 543, digest: '0B1E2E01E2D7B198' },
  { name: 'link_events', once: 40, first: 9, rows: 49, digest: 'F8077D46A1E78A47' },
  { name: 'recordings', once: 3, first: 0, rows: 3, digest: '2D20EC00BF4B13EB' },
]
