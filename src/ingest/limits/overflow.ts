import { BoundedKeyMap } from '../../core/bounded-key-map.ts'
import { toEarlyMs, toUsedUntilMs } from '../../core/gcra.ts'
import type { Rate } from './rate-limiter.ts'

/**
 * Selects the events of a hot key that leave their partition, and with it the order of the key:
 * those above `perSecond`, once `burst` is used up. Each node counts its own events. `perSecond` 0
 * turns it off.
 */
export function createOverflow({ perSecond, burst, keysMax = 100_000 }: OverflowOptions): Overflow {
  if (perSecond <= 0) return { isOver: () => false }
  const usedUntil = new BoundedKeyMap(keysMax)
  const intervalMs = 1000 / perSecond
  const burstMs = Math.max(1, burst) * intervalMs
  let startMs: number | undefined
  return {
    isOver(key, nowMs) {
      startMs ??= nowMs
      const sinceMs = nowMs - startMs
      const untilMs = toUsedUntilMs(usedUntil.get(key) ?? 0, sinceMs, intervalMs)
      if (toEarlyMs(untilMs, sinceMs, burstMs) > 0) return true
      usedUntil.set(key, untilMs)
      return false
    },
  }
}

export type OverflowOptions = Rate & {
  /** Beyond this number the keys that were idle longest are forgotten. */
  keysMax?: number
}

export type Overflow = {
  /** Counts one event of this key. Takes 0.1 µs. `nowMs` is the time of receipt. */
  isOver(key: string, nowMs: number): boolean
}
