import type { Connection } from './connection.ts'

/**
 * How many writes to its disk have failed since the engine was opened. It ignores them: a statement or a merge says OK,
 * and leaves a broken part.
 */
export function countWriteFailures(connection: Pick<Connection, 'query'>): number {
  return Number(new TextDecoder().decode(connection.query(writeFailuresStatement).bytes))
}

/** One row of one column. */
export const writeFailuresStatement = `SELECT sum(value) AS failures FROM system.events
WHERE event = 'WriteBufferFromFileDescriptorWriteFailed'`
