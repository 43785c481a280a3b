import type { Connection } from './connection.ts'

/**
 * How many writes to its disk have failed since the engine was opened. It ignores them: a statement or a merge says OK,
 * and leaves a broken part.
 */
export function countWriteFailures(connection: Pick<Connection, 'query'>): number {
  return Number(new TextDecoder().decode(connection.query(writeFailuresStatement).bytes))
}

/**
 * As a table is loaded the sizes of its files are checked: a broken part is moved to the detached
 * ones, and those that it was merged from take its place again, for the eight minutes that the
 * engine keeps them. One statement after the other; between them the table does not exist.
 */
export const toReload = (table: string) => [
  `DETACH TABLE IF EXISTS ${table} SYNC`,
  `ATTACH TABLE IF NOT EXISTS ${table}`,
]

/** One row of one column. */
export const writeFailuresStatement = `SELECT sum(value) AS failures FROM system.events
WHERE event = 'WriteBufferFromFileDescriptorWriteFailed'`
