import { type Backoff, toBackoffMs } from '../../core/async.ts'

const backoff: Backoff = { firstMs: 100, maxMs: 5000 }

export const toPauseMs = (attempt: number) => toBackoffMs(attempt, backoff, Math.random)

/** The partitions of a topic, or the topic itself, that take nothing just now. */
export type Trouble = {
  has(place: number): boolean
  isOver(): boolean
  /** A fault that passes at the second try is nobody's concern. */
  failed(place: number | 'topic', attempt: number): void
  end(place: number | 'topic'): void
}

export function createTrouble(): Trouble {
  const places = new Set<number | 'topic'>()
  return {
    has: (place) => places.has(place),
    isOver: () => places.size === 0,
    failed(place, attempt) {
      if (attempt >= 2) places.add(place)
    },
    end(place) {
      places.delete(place)
    },
  }
}
