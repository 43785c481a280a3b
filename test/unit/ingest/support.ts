import { hourMs } from '../../../src/core/clock.ts'
import type { DedupKey } from '../../../src/core/event.ts'

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
