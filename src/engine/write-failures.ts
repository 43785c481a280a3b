import type { Connection } from './connection.ts'

/**
 * How many writes to its disk have failed since the engine was opened. It ignores them: a statement or a merge says OK,
 * and leaves a broken part.
 */
export function countWriteFailures(connection: Pick<Connection, 'query'>): number {
  return Number(new TextDecoder().decode(connection.query(statement).bytes))
}

const statement = `SELECT sum(value) FROM system.events
WHERE event = 'WriteBufferFromFileDescriptorWriteFailed'`
