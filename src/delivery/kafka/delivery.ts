import { sleep } from '../../core/async.ts'

/** A batch in flight. It is over when every record has arrived, or when its shipper aborts it. */
export type PendingBatch = { arrived(): void; isOver(): boolean }

/** `done` resolves when `count` records have arrived. It rejects with the reason of the first abort. */
export function createPendingBatch(
  count: number,
  signals: readonly AbortSignal[],
): { batch: PendingBatch; done: Promise<void> } {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const signal = AbortSignal.any([...signals])
  let left = count
  let isOver = false

  function end(settle: () => void): void {
    isOver = true
    signal.removeEventListener('abort', abort)
    settle()
  }
  const abort = () => end(() => reject(signal.reason))
  const arrived = () => {
    left -= 1
    if (left <= 0 && !isOver) end(resolve)
  }
  if (signal.aborted) abort()
  else signal.addEventListener('abort', abort)
  if (count === 0 && !isOver) end(resolve)
  return { batch: { arrived, isOver: () => isOver }, done: promise }
}

/** The shutdown of the sink: ends pauses and retry loops. */
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
