import { hourMs } from '../../../src/core/clock.ts'
import type { DedupKey } from '../../../src/core/event.ts'
import { createDedupTable, readDedupKey } from '../../../src/ingest/dedup/seen-table.ts'

/** A clock that the test sets. */
export function createTestClock(startMs = 1_000_000 * hourMs) {
  const clock = { nowMs: startMs, now: () => clock.nowMs }
  return clock
}

/** Deterministic: the same seed gives the same key. */
export function toDedupKey(seed: number | string): DedupKey {
  return new Bun.CryptoHasher('md5').update(String(seed)).digest('hex')
}

export function toDedupKeys(count: number, from = 0): DedupKey[] {
  return Array.from({ length: count }, (_, index) => toDedupKey(from + index))
}

/** A dedup table whose keys are read for each call, with a clock of its own. */
export function createTestTable(bytesMax: number) {
  const clock = createTestClock()
  const table = createDedupTable({ bytesMax, now: clock.now })
  const words = { a: 0, b: 0, c: 0 }
  const withWords = <T>(dedupKey: DedupKey, use: (w: typeof words) => T): T => {
    readDedupKey(dedupKey, words)
    table.keepTime()
    return use(words)
  }
  return {
    table,
    clock,
    has: (dedupKey: DedupKey) => withWords(dedupKey, (w) => table.has(w)),
    add: (dedupKey: DedupKey, hour?: number) => withWords(dedupKey, (w) => table.add(w, hour)),
  }
}
