import { RecentKeys } from './bounded-key-map.ts'
import type { Rate } from './rate-limiter.ts'

/**
 * Tells which events of an overheated key leave the order of their partition: those above `perSecond`, once `burst` is
 * used up. The others stay in it. Every node judges what it sees; `perSecond` 0 turns it off.
 */
export function createOverflow({ perSecond, burst, keysMax = 100_000 }: OverflowOptions): Overflow {
  if (perSecond <= 0) return { isOver: () => false }
  const usedUpMs = new RecentKeys(keysMax)
  const intervalMs = 1000 / perSecond
  const toleranceMs = Math.max(1, burst) * intervalMs
  let startMs: number | undefined
  return {
    isOver(key, nowMs) {
      startMs ??= nowMs
      const sinceMs = nowMs - startMs
      const nextMs = Math.max(usedUpMs.get(key) ?? 0, sinceMs) + intervalMs
      if (nextMs - sinceMs > toleranceMs + roundingMs) return true
      usedUpMs.set(key, nextMs)
      return false
    },
  }
}

export type OverflowOptions = Rate & {
  /** Beyond these the keys that were idle longest start afresh. */
  keysMax?: number
}

export type Overflow = {
  /** Counts one event of this key, 0.1 µs. `nowMs` is the time of receipt. */
  isOver(key: string, nowMs: number): boolean
}

const roundingMs = 1e-6
