import { createGate, type RetryPolicy, retryUntilAborted } from '../core/async.ts'
import type { Batch, Sink } from '../core/sink.ts'
import type { Cursors } from './cursors.ts'

/** Batches under way to one sink. Its cursor moves in their order, whichever arrives first. */
export type BatchesInFlight = {
  /** Resolves once another batch may be sent. */
  room(signal: AbortSignal): Promise<void>
  /** Sends a batch. `isNew` is false where an earlier process may have sent it. */
  launch(batch: Batch, isNew: boolean, signal: AbortSignal): void
  /**
   * Resolves once nothing is under way: all has arrived, or the signal of what was launched has
   * aborted.
   */
  settled(): Promise<void>
  /** Everything before it is on the sink's disk, and that is written down. */
  cursor(): number
}

export type BatchesInFlightOptions = RetryPolicy & {
  sink: Sink
  cursors: Pick<Cursors, 'advance'>
  fromOffset: number
  /** Is told of every batch that the sink has taken. */
  onShipped(batch: Batch): void
  onAdvanced(offset: number): void
  /**
   * Is told of what a sink should have dealt with itself, and of cursors that cannot be written.
   */
  onFault(error: unknown): void
}

type Flight = { lastOffset: number; hasArrived: boolean }

/**
 * How old a cursor may be on disk where the sink takes duplicates after a crash: a write costs a
 * sync.
 */
const cursorAgeMsMax = 200

export function createBatchesInFlight(options: BatchesInFlightOptions): BatchesInFlight {
  const { sink } = options
  // A sink that takes one batch at a time is exact: the cursor is behind one batch before the next
  // is sent.
  const isExact = sink.inflightMax === 1
  const gate = createGate()
  const flying: Flight[] = []
  const running = new Set<Promise<void>>()
  let cursor = options.fromOffset
  let isWriting = false

  const busy = () => flying.filter(({ hasArrived }) => isExact || !hasArrived).length

  async function room(signal: AbortSignal): Promise<void> {
    while (busy() >= sink.inflightMax) await gate.wait(signal)
  }

  function launch(batch: Batch, isNew: boolean, signal: AbortSignal): void {
    const flight = { lastOffset: batch.lastOffset, hasArrived: false }
    flying.push(flight)
    const flown = fly(batch, isNew, signal).then(() => {
      flight.hasArrived = true
      options.onShipped(batch)
      gate.wake()
      return isWriting ? undefined : writeDown(signal)
    })
    const ended = flown.catch(() => {}).finally(() => running.delete(ended))
    running.add(ended)
  }

  async function fly(batch: Batch, isNew: boolean, signal: AbortSignal): Promise<void> {
    let isUnsent = isNew
    const send = () => {
      const sending = isUnsent ? sink.ship(batch, signal) : sink.resume(batch, signal)
      isUnsent = false
      return sending
    }
    await retryUntilAborted(send, options, signal)
  }

  /**
   * One at a time: what arrives meanwhile is seen by the one that runs, which says that it ends as
   * it looks last.
   */
  async function writeDown(signal: AbortSignal): Promise<void> {
    isWriting = true
    try {
      while (flying[0]?.hasArrived) {
        if (!isExact) await options.sleep(cursorAgeMsMax, signal).catch(() => {})
        await advance(signal)
      }
    } finally {
      isWriting = false
    }
  }

  async function advance(signal: AbortSignal): Promise<void> {
    const flown = flying.findIndex(({ hasArrived }) => !hasArrived)
    const count = flown < 0 ? flying.length : flown
    const offset = flying[count - 1]!.lastOffset + 1
    await retryUntilAborted(async () => options.cursors.advance(sink.name, offset), options, signal)
    flying.splice(0, count)
    cursor = offset
    options.onAdvanced(offset)
    gate.wake()
  }

  async function settled(): Promise<void> {
    while (running.size > 0) await Promise.all(running)
  }
  return { room, launch, settled, cursor: () => cursor }
}
