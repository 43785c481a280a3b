import { sleep } from '../../core/async.ts'

/** A batch under way. It is over once every record has arrived, or once its shipper gave it up. */
export type Delivery = { arrived(): void; isOver(): boolean }

/** `done` resolves when `count` records have arrived, and rejects with the reason of the first abort. */
export function createDelivery(
  count: number,
  signals: readonly AbortSignal[],
): { delivery: Delivery; done: Promise<void> } {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const signal = AbortSignal.any([...signals])
  let left = count
  let isOver = false

  function end(settle: () => void): void {
    isOver = true
    signal.removeEventListener('abort', giveUp)
    settle()
  }
  const giveUp = () => end(() => reject(signal.reason))
  const arrived = () => {
    left -= 1
    if (left <= 0 && !isOver) end(resolve)
  }
  if (signal.aborted) giveUp()
  else signal.addEventListener('abort', giveUp)
  if (count === 0 && !isOver) end(resolve)
  return { delivery: { arrived, isOver: () => isOver }, done: promise }
}

/** The end of the sink: wakes whoever pauses, and ends whoever loops. */
export type Closing = {
  signal: AbortSignal
  /** Resolves after `ms`, or at once when the sink closes. */
  pause(ms: number): Promise<void>
  close(): void
}

export function createClosing(): Closing {
  const controller = new AbortController()
  const { signal } = controller
  return {
    signal,
    pause: (ms) => sleep(ms, signal).catch(() => {}),
    close: () => controller.abort(new Error('the Kafka sink is closed')),
  }
}
