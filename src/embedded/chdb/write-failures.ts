import type { ChdbConnection } from './connection.ts'

/**
 * chDB ignores a failed write to the disk: an insert, another statement or a merge reports success
 * and leaves a broken part, which fails every query that reads it and is dropped at the next start.
 * chDB counts such writes, though, in `system.events`.
 */
export type WriteWatch = {
  /**
   * Sets aside the broken parts if writes have failed since the last call. Resolves with the number
   * of failed writes so far: if it rose, rows stored meanwhile may be missing.
   */
  settle(): Promise<number>
  /** As of the last call. */
  readonly failures: number
}

export type WriteWatchOptions = {
  countFailures(): Promise<number>
  tables(): Promise<readonly string[]>
  run(statement: string): Promise<unknown>
  /** Called after the broken parts are set aside. */
  onFailures?(count: number): void
  /** The count to start from. */
  failures: number
}

export function createWriteWatch(options: WriteWatchOptions): WriteWatch {
  let failures = options.failures
  let settling = Promise.resolve(failures)

  async function check(): Promise<number> {
    const counted = await options.countFailures()
    if (counted === failures) return failures
    const tables = await options.tables()
    for (const statement of tables.flatMap(toReload)) await options.run(statement)
    options.onFailures?.(counted - failures)
    failures = counted
    return failures
  }

  return {
    settle() {
      // One at a time: a table that is being reloaded does not exist for a moment.
      settling = settling.catch(() => 0).then(check)
      return settling
    },
    get failures() {
      return failures
    },
  }
}

/** Failed writes since chDB was opened in this process. Throws QueryError. */
export function countWriteFailures(connection: Pick<ChdbConnection, 'query'>): number {
  return Number(new TextDecoder().decode(connection.query(writeFailuresStatement).bytes))
}

/** One row, one column. */
export const writeFailuresStatement = `SELECT sum(value) AS failures FROM system.events
WHERE event = 'WriteBufferFromFileDescriptorWriteFailed'`

/**
 * Loading a table checks the sizes of its files: a broken part is moved to the detached parts, and
 * the parts it was merged from become active again if they still exist (chDB keeps them for eight
 * minutes). Two statements, one after the other; between them the table does not exist.
 */
const toReload = (table: string) => [
  `DETACH TABLE IF EXISTS ${table} SYNC`,
  `ATTACH TABLE IF NOT EXISTS ${table}`,
]
