import type { ClickHouseFailure } from './failure.ts'

/**
 * What to do with rows whose insert failed and which are not stored.
 * - `retry`: all of them again.
 * - `last`: all of them again, after everything else.
 * - `split`: in parts, the row that the server named apart from the others.
 * - `shave`: the first row apart from the others, to see whether the server takes any row at all.
 * - `bury`: the row becomes a dead letter.
 */
export type Verdict = 'retry' | 'last' | 'split' | 'shave' | 'bury'

export type Case = {
  failure: ClickHouseFailure
  rows: number
  /**
   * Failures of just these rows, this one included; after each of them the server answered a query.
   */
  failures: number
  /** Other rows of the same batch went in: the server works, and so does the table. */
  hasWitness: boolean
  /** No other rows are left that could bear witness. */
  isAlone: boolean
}

/** A server that gives an unknown answer this often, and yet answers queries, may mean the rows. */
const suspicionAfter = 5
/**
 * A row whose neighbours went in is set aside after this many failures, half a minute at the least
 * with the pauses between them. A reply with a code is a word on the row; a connection that breaks
 * may be chance.
 */
const repliesMax = 12
const breaksMax = 20
/**
 * Some six minutes at the longest pause: a row that holds up everything for longer is set aside.
 */
const lonelyRepliesMax = 100

/**
 * Total. A row is given up only for its own fault: where the server says so, or where it takes its
 * neighbours and not this one. A server that refuses everything is waited for.
 */
export function judge({ failure, rows, failures, hasWitness, isAlone }: Case): Verdict {
  const isSingle = rows === 1
  if (failure.kind === 'busy') return 'retry'
  if (failure.kind === 'large') return isSingle ? 'retry' : 'split'
  if (failure.kind === 'data') return isSingle ? 'bury' : 'split'
  if (hasWitness) {
    if (!isSingle) return failures > 1 ? 'split' : 'retry'
    return failures >= (failure.code === undefined ? breaksMax : repliesMax) ? 'bury' : 'last'
  }
  if (failures < suspicionAfter) return 'retry'
  if (!isSingle) return 'shave'
  return isAlone && failure.code !== undefined && failures >= lonelyRepliesMax ? 'bury' : 'last'
}
