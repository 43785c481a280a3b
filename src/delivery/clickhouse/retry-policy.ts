import type { ClickHouseFailure } from './failure.ts'

/**
 * The next step for rows that are not stored after their insert failed.
 * - `retry`: send all of them again.
 * - `retry-last`: send all of them again, after all other rows of the batch.
 * - `split`: send them in parts; a row that the server named becomes a part of its own.
 * - `probe-first`: send the first row alone, to see whether the server accepts any row at all.
 * - `dead-letter`: give up the row and store it as a dead letter.
 */
export type RetryStep = 'retry' | 'retry-last' | 'split' | 'probe-first' | 'dead-letter'

export type FailedInsert = {
  failure: ClickHouseFailure
  rows: number
  /**
   * Failures in a row of exactly these rows, this one included. The server answered a query after
   * each of them.
   */
  failures: number
  /** Other rows of the same batch are stored, so the server and the table work. */
  hasStoredOthers: boolean
  /** The batch has no other rows. */
  isOnlyRow: boolean
}

/**
 * The server answers queries, but failed this often for unknown reasons: the rows may be the cause.
 */
const probeAfterFailures = 5
/**
 * Limits for a row whose neighbours are stored; with the pauses in between at least half a minute.
 * A reply with a code concerns the row; a broken connection may be chance, so it gets more
 * attempts.
 */
const repliesMax = 12
const breaksMax = 20
/** Limit for a row without neighbours: about six minutes at the longest pause. */
const onlyRowRepliesMax = 100

/**
 * Total. A row is given up only for its own fault: the server says so, or it accepts the neighbours
 * but not this row. A server that refuses everything is retried without end.
 */
export function chooseRetry(failed: FailedInsert): RetryStep {
  const { failure, rows, failures, hasStoredOthers, isOnlyRow } = failed
  const isSingle = rows === 1
  if (failure.kind === 'busy') return 'retry'
  if (failure.kind === 'large') return isSingle ? 'retry' : 'split'
  if (failure.kind === 'data') return isSingle ? 'dead-letter' : 'split'
  if (hasStoredOthers) {
    if (!isSingle) return failures > 1 ? 'split' : 'retry'
    const failuresMax = failure.code === undefined ? breaksMax : repliesMax
    return failures >= failuresMax ? 'dead-letter' : 'retry-last'
  }
  if (failures < probeAfterFailures) return 'retry'
  if (!isSingle) return 'probe-first'
  const isGivenUp = isOnlyRow && failure.code !== undefined && failures >= onlyRowRepliesMax
  return isGivenUp ? 'dead-letter' : 'retry-last'
}
