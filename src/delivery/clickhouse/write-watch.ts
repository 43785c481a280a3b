import type { Log } from '../../core/log.ts'
import { toReload, writeFailuresStatement } from '../../embedded/chdb/write-failures.ts'
import type { ClickHouse } from './client.ts'
import { tableOf } from './tables.ts'

/**
 * The embedded engine of this version ignores that a write to the disk failed: an insert or a merge
 * on a full disk says OK and leaves a broken part, which fails every query that touches it and is
 * gone at the next start. The engine counts such writes, though.
 */
export type WriteWatch = {
  /**
   * Sets aside the broken parts of failed writes, where there were any since the last call.
   * Resolves with the number of writes that have failed so far: one that rose says that what was
   * stored meanwhile may not be there. Rejects with a ClickHouseFailure.
   */
  settle(): Promise<number>
  /** As of the last call. */
  readonly failures: number
}

export type WriteWatchOptions = { engine: Pick<ClickHouse, 'query' | 'command'>; log: Log }

export function createWriteWatch({ engine, log }: WriteWatchOptions): WriteWatch {
  let failures = 0
  let settling = Promise.resolve(0)

  async function look(): Promise<number> {
    // What is left of a reply that broke off comes with the next one, which then cannot be read.
    const seen = await countFailures(engine).catch(() => countFailures(engine))
    if (seen === failures) return failures
    for (const statement of tables.flatMap(toReload)) await engine.command(statement)
    log.error(
      { failures: seen - failures },
      'the engine could not write: its disk is full or fails',
    )
    failures = seen
    return failures
  }

  return {
    settle() {
      // One at a time, as a table that is being reloaded does not exist for a moment.
      settling = settling.catch(() => 0).then(look)
      return settling
    },
    get failures() {
      return failures
    },
  }
}

const tables = Object.values(tableOf)

async function countFailures({ query }: WriteWatchOptions['engine']): Promise<number> {
  const [row] = await query<{ failures: string | number }>(writeFailuresStatement)
  return Number(row?.failures ?? 0)
}
