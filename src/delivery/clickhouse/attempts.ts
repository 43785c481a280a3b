import { randomBytes } from 'node:crypto'
import type { Range } from '../backlog.ts'
import type { Cursors } from '../cursors.ts'

/**
 * Names of attempts at one range of records after another. A name is written down before anything
 * is sent under it, and it is random: a journal that was restored from a copy does not use one a
 * second time.
 */
export type Attempts = {
  current(): string
  renew(): string
  /** The first attempt at a range. */
  begin(range: Range): void
  /** A range that an earlier process began, under the name that it may have used last. */
  resume(range: Range): void
}

export function createAttempts(cursors: Pick<Cursors, 'begin' | 'pending'>): Attempts {
  let attempt = ''
  let range: Range = { firstOffset: 0, lastOffset: 0 }

  function renew(): string {
    attempt = randomBytes(6).toString('hex')
    const { firstOffset, lastOffset } = range
    cursors.begin('clickhouse', { firstOffset, lastOffset, attempt })
    return attempt
  }

  function begin(next: Range): void {
    range = next
    renew()
  }

  function resume(next: Range): void {
    range = next
    attempt = cursors.pending('clickhouse')?.attempt ?? renew()
  }
  return { current: () => attempt, renew, begin, resume }
}
