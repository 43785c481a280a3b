import { IngestError } from '../core/errors.ts'

/**
 * Sheds load when there is more than this thread can do: what one turn of the event loop has begun keeps all its clients
 * waiting, since none is answered before the turn ends. Once a turn has taken in its share and its time is over, the rest
 * of what arrived is refused, and sent again later. A slow disk is no reason: its waits overlap.
 */
export function createPace({ turnMsMax, turnRequestsMin, now, atTurnEnd }: PaceParts): Pace {
  let startedMs = 0
  let taken = 0
  let refused = 0
  // One error for all: its stack would cost more than the refusal.
  const overload = new IngestError('too_busy', 'more arrives than the server can take', {
    retryAfterSeconds: 1,
  })
  const end = () => {
    taken = 0
  }
  return {
    take() {
      if (taken === 0) {
        startedMs = now()
        atTurnEnd(end)
      } else if (taken >= turnRequestsMin && now() - startedMs > turnMsMax) {
        refused += 1
        throw overload
      }
      taken += 1
    },
    refused: () => refused,
  }
}

export type PaceParts = {
  turnMsMax: number
  /** A few large requests may take longer than a turn should: as many are always taken. */
  turnRequestsMin: number
  now(): number
  /** Calls back once what this turn of the event loop brought has been looked at. */
  atTurnEnd(callback: () => void): void
}

export type Pace = {
  /** Before a request's work begins. Throws `too_busy` with `retryAfterSeconds`. */
  take(): void
  refused(): number
}
