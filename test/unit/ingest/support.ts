import { hourMs } from '../../../src/core/clock.ts'
import type { Marker } from '../../../src/core/event.ts'

/** A clock that stands still until it is told otherwise. */
export function createTestClock(startMs = 1_000_000 * hourMs) {
  const clock = { nowMs: startMs, now: () => clock.nowMs }
  return clock
}

/** The same number gives the same marker. */
export function toMarker(seed: number | string): Marker {
  return new Bun.CryptoHasher('md5').update(String(seed)).digest('hex')
}

export function toMarkers(count: number, from = 0): Marker[] {
  return Array.from({ length: count }, (_, index) => toMarker(from + index))
}
