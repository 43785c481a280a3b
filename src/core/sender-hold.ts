import { toSender } from './address.ts'
import { BoundedKeyMap } from './bounded-key-map.ts'

/**
 * Holds back senders whose bodies took a thread too long: all requests of their address are refused
 * for some seconds.
 */
export type SenderHold = {
  hold(ip: string, nowMs: number): void
  /** Seconds until this address may send again; 0: now. */
  waitSeconds(ip: string, nowMs: number): number
}

export function createSenderHold(): SenderHold {
  const untilMs = new BoundedKeyMap(sendersMax)
  let lastUntilMs = 0
  return {
    hold(ip, nowMs) {
      lastUntilMs = nowMs + holdMs
      untilMs.set(toSender(ip), lastUntilMs)
    },
    waitSeconds(ip, nowMs) {
      // Nearly always: no sender is held.
      if (nowMs >= lastUntilMs) return 0
      const waitMs = (untilMs.get(toSender(ip)) ?? 0) - nowMs
      return Math.max(0, Math.ceil(waitMs / 1000))
    },
  }
}

/** Long enough that one slow body in this time costs little, and short for an honest sender. */
const holdMs = 10_000
const sendersMax = 10_000
