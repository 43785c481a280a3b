import type { Connection } from '../chdb/connection.ts'
import { countWriteFailures, toReload } from '../chdb/write-failures.ts'

/**
 * The engine ignores that a write to the disk failed: a statement or a merge says OK and leaves a
 * broken part. A server does not, and neither does one that stands in for it: the engine counts
 * such writes.
 */
export type WriteWatch = {
  /** Sets broken parts aside. Whether writes have failed since the last call. Throws QueryError. */
  settle(): boolean
}

export function createWriteWatch(connection: Pick<Connection, 'query'>): WriteWatch {
  const count = () => countWriteFailures(connection)
  const read = (sql: string) => new TextDecoder().decode(connection.query(sql).bytes)
  let failures = count()
  return {
    settle() {
      const seen = count()
      if (seen === failures) return false
      const tables = read(listTables).split('\n').filter(Boolean)
      for (const statement of tables.flatMap(toReload)) connection.query(statement)
      failures = seen
      return true
    },
  }
}

const listTables = `SELECT concat('"', database, '"."', name, '"') FROM system.tables
WHERE database != 'system' AND endsWith(engine, 'MergeTree')`
