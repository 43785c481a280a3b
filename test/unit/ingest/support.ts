import { hourMs } from '../../../src/core/clock.ts'
import type { DedupKey } from '../../../src/core/event.ts'

/** A clock that stands still until it is told otherwise. */
export function createTestClock(startMs = 1_000_000 * hourMs) {
  const clock = { nowMs: startMs, now: () => clock.nowMs }
  return clock
}

/** The same number gives the same marker. */
export function toDedupKey(seed: number | string): DedupKey {
  return new Bun.CryptoHasher('md5').update(String(seed)).digest('hex')
}

export function toDedupKeys(count: number, from = 0): DedupKey[] {
  return Array.from({ length: count }, (_, index) => toDedupKey(from + index))
}
