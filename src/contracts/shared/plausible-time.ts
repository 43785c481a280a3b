import { hourMs } from '../../core/clock.ts'

/** A client's clock may run ahead of ours by a time zone's worth; beyond this it is simply wrong. */
const futureMsMax = 23 * hourMs

/**
 * `claimedMs` in whole ms where it may be true, else `receivedMs`: days before 1970 wrap in ClickHouse, and
 * far ones would make a partition each. Source: design, "Exactly once into ClickHouse".
 */
export function toPlausibleTime(claimedMs: number, receivedMs: number): number {
  const isPlausible = claimedMs >= 0 && claimedMs <= receivedMs + futureMsMax
  return isPlausible ? Math.trunc(claimedMs) : receivedMs
}
