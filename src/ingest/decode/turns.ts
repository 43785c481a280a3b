import { IngestError } from '../../core/errors.ts'

export type TakeTurn = <T>(run: () => Promise<T>) => Promise<T>

/** Lets at most `max` run at a time, and `waitingMax` wait in their order. Rejects with `too_busy` beyond them. */
export function createTurns({ max, waitingMax }: { max: number; waitingMax: number }): TakeTurn {
  const waiting: (() => void)[] = []
  let running = 0

  return async (run) => {
    if (running < max) running += 1
    else if (waiting.length < waitingMax) await new Promise<void>((go) => waiting.push(go))
    else
      throw new IngestError('too_busy', 'too many large bodies at once', { retryAfterSeconds: 1 })
    try {
      return await run()
    } finally {
      // A turn is handed on, not given back, where somebody waits for it.
      const next = waiting.shift()
      if (next) next()
      else running -= 1
    }
  }
}
