import type { Log } from '../core/log.ts'

const backoffMsMin = 100
const backoffMsMax = 5000

/** Doubles with each attempt, up to a bound; half of it is chance, so that lanes do not march in step. */
export function toBackoffMs(attempt: number): number {
  const ceilingMs = Math.min(backoffMsMax, backoffMsMin * 2 ** Math.min(attempt - 1, 10))
  return ceilingMs * (0.5 + Math.random() / 2)
}

/** A fault that passes at the second try is nobody's concern. */
export const isNoticeable = (attempt: number) => attempt >= 2

/** Which partitions of a topic take nothing just now. The log hears of the first and of the last. */
export function createTrouble(topic: string, log: Log) {
  const places = new Set<number | 'topic'>()
  return {
    has: (place: number) => places.has(place),
    isOver: () => places.size === 0,
    begin(place: number | 'topic', reason: string): void {
      if (places.size === 0) log.warn({ topic, place, reason }, 'kafka takes nothing; trying again')
      places.add(place)
    },
    end(place: number | 'topic'): void {
      if (places.delete(place) && places.size === 0)
        log.info({ topic }, 'kafka takes records again')
    },
  }
}
