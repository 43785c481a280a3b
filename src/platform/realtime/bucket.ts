import { toEarlyMs, toUsedUntilMs } from '../../core/gcra.ts'

/** Takes one token; false if none is left. */
export type Bucket = (nowMs: number) => boolean

/** Allows `burst` at once and `perSecond` on average. */
export function createBucket({ perSecond, burst }: { perSecond: number; burst: number }): Bucket {
  const intervalMs = 1000 / perSecond
  const burstMs = burst * intervalMs
  let startMs: number | undefined
  let usedUntilMs = 0
  return (nowMs) => {
    startMs ??= nowMs
    const sinceMs = nowMs - startMs
    // A clock that goes back costs one burst at most: never wait for the old time to come round again.
    usedUntilMs = Math.min(usedUntilMs, sinceMs + burstMs)
    const untilMs = toUsedUntilMs(usedUntilMs, sinceMs, intervalMs)
    if (toEarlyMs(untilMs, sinceMs, burstMs) > 0) return false
    usedUntilMs = untilMs
    return true
  }
}
