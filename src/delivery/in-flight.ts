import { createGate, type RetryPolicy, retryUntilAborted } from '../core/async.ts'
import type { Batch, Sink } from '../core/sink.ts'
import type { Cursors } from './cursors.ts'

/** The batches in flight to one sink. The cursor advances in their order, whichever arrives first. */
export type BatchesInFlight = {
  /** Resolves when another batch may be sent. */
  capacity(signal: AbortSignal): Promise<void>
  /** Sends a batch. `isNew` is false when an earlier process may have sent it. */
  send(batch: Batch, isNew: boolean, signal: AbortSignal): void
  /** Resolves when no batch is in flight: each has arrived or its signal has aborted. */
  settled(): Promise<void>
  /** Every record below is on the sink's disk, and the cursor is on ours. */
  cursor(): number
}

export type BatchesInFlightOptions = RetryPolicy & {
  sink: Sink
  cursors: Pick<Cursors, 'advance'>
  fromOffset: number
  /** Called for every batch that the sink has taken. */
  onShipped(batch: Batch): void
  onAdvanced(offset: number): void
  /** Called for errors that a sink should handle itself, and for cursors that cannot be written. */
  onFault(error: unknown): void
}

type BatchInFlight = { lastOffset: number; hasArrived: boolean }

/**
 * Maximum age of the cursor on disk for a sink that accepts duplicates after a crash. Each write of
 * the cursor costs a sync.
 */
const cursorAgeMsMax = 200

export function createBatchesInFlight(options: BatchesInFlightOptions): BatchesInFlight {
  const { sink } = options
  // A sink that takes one batch at a time delivers exactly once: write the cursor of a batch before
  // the next is sent.
  const isExact = sink.inflightMax === 1
  const gate = createGate()
  const inFlight: BatchInFlight[] = []
  const running = new Set<Promise<void>>()
  let cursor = options.fromOffset
  let isWriting = false

  const busy = () => inFlight.filter(({ hasArrived }) => isExact || !hasArrived).length

  async function capacity(signal: AbortSignal): Promise<void> {
    while (busy() >= sink.inflightMax) await gate.wait(signal)
  }

  function send(batch: Batch, isNew: boolean, signal: AbortSignal): void {
    const entry = { lastOffset: batch.lastOffset, hasArrived: false }
    inFlight.push(entry)
    const arrived = deliver(batch, isNew, signal).then(() => {
      entry.hasArrived = true
      options.onShipped(batch)
      gate.wake()
      return isWriting ? undefined : writeCursor(signal)
    })
    const ended = arrived.catch(() => {}).finally(() => running.delete(ended))
    running.add(ended)
  }

  async function deliver(batch: Batch, isNew: boolean, signal: AbortSignal): Promise<void> {
    let isUnsent = isNew
    const attempt = () => {
      const sending = isUnsent ? sink.ship(batch, signal) : sink.resume(batch, signal)
      isUnsent = false
      return sending
    }
    await retryUntilAborted(attempt, options, signal)
  }

  /**
   * Runs once at a time. A batch that arrives meanwhile is seen by the run in progress: it clears
   * `isWriting` in the same step as its last look.
   */
  async function writeCursor(signal: AbortSignal): Promise<void> {
    isWriting = true
    try {
      while (inFlight[0]?.hasArrived) {
        if (!isExact) await options.sleep(cursorAgeMsMax, signal).catch(() => {})
        await advance(signal)
      }
    } finally {
      isWriting = false
    }
  }

  async function advance(signal: AbortSignal): Promise<void> {
    const firstMissing = inFlight.findIndex(({ hasArrived }) => !hasArrived)
    const count = firstMissing < 0 ? inFlight.length : firstMissing
    const offset = inFlight[count - 1]!.lastOffset + 1
    await retryUntilAborted(async () => options.cursors.advance(sink.name, offset), options, signal)
    inFlight.splice(0, count)
    cursor = offset
    options.onAdvanced(offset)
    gate.wake()
  }

  async function settled(): Promise<void> {
    while (running.size > 0) await Promise.all(running)
  }
  return { capacity, send, settled, cursor: () => cursor }
}
