/**
 * GCRA, the generic cell rate algorithm: limits a rate with one number as state, the time until
 * which everything taken so far lasts at the steady rate (`usedUntilMs`). Pure functions instead of
 * an object per key, because the callers keep the numbers of many keys in one array.
 *
 * Measure times from the start of the process: a double with milliseconds since 1970 is too coarse
 * for the interval of a fast rate.
 */
export function toUsedUntilMs(usedUntilMs: number, nowMs: number, costMs: number): number {
  return Math.max(usedUntilMs, nowMs) + costMs
}

/** By how much a take is too early, in ms; 0: it is allowed. `usedUntilMs` includes its cost. */
export function toEarlyMs(usedUntilMs: number, nowMs: number, burstMs: number): number {
  const earlyMs = usedUntilMs - nowMs - burstMs
  return earlyMs > roundingMs ? earlyMs : 0
}

/** Sums of intervals are inexact. */
const roundingMs = 1e-6
