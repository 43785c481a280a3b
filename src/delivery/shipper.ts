import { createGate, type RetryPolicy, retryUntilAborted } from '../core/async.ts'
import type { Sink } from '../core/sink.ts'
import type { ReadLimits } from '../journal/reader.ts'
import type { RecordSource } from '../journal/recent-records.ts'
import { type Backlog, createBacklog } from './backlog.ts'
import type { Cursors } from './cursors.ts'
import { type BatchesInFlightOptions, createBatchesInFlight } from './in-flight.ts'

/** Ships the journal to one sink at the sink's own speed. Retries each failure until it is stopped. */
export type Shipper = {
  start(): void
  announce: Backlog['announce']
  /**
   * Ships the announced records without waiting for more. Resolves when they are shipped or the
   * shipper is stopped.
   */
  drain(): Promise<void>
  /** Resolves when the sink has every record below `offset`. Rejects when the shipper is stopped. */
  reach(offset: number): Promise<void>
  /** Aborts the batches in flight. The next start resumes them: the sink finds out their outcome. */
  stop(): Promise<void>
  /** Every record below is on the sink's disk, and the cursor is on ours. */
  cursor(): number
}

export type ShipperOptions = Pick<BatchesInFlightOptions, 'onShipped' | 'onAdvanced' | 'onFault'> &
  RetryPolicy & {
    sink: Sink
    source: Pick<RecordSource, 'read'>
    cursors: Cursors
    limits: ReadLimits
    flushMs: number
    /** The start when no cursor is on disk. */
    fromOffset: number
    now(): number
  }

export function createShipper(options: ShipperOptions): Shipper {
  const { sink, cursors } = options
  const fromOffset = cursors.offset(sink.name) ?? options.fromOffset
  const stopping = new AbortController()
  const { signal } = stopping
  const gate = createGate()
  const backlog = createBacklog({ ...options, fromOffset })
  const batches = createBatchesInFlight({ ...options, fromOffset, onAdvanced })
  let running: Promise<void> | undefined

  function onAdvanced(offset: number): void {
    gate.wake()
    options.onAdvanced(offset)
  }

  /**
   * The range that was in flight when the process ended comes first: only the sink can find out its
   * outcome.
   */
  async function resume(): Promise<void> {
    const range = cursors.pending(sink.name)
    const batch = range && (await backlog.read(range, signal))
    if (batch) batches.send(batch, false, signal)
  }

  async function run(): Promise<void> {
    await retryUntilAborted(resume, options, signal)
    for (;;) {
      const batch = await retryUntilAborted(() => backlog.take(signal), options, signal)
      await batches.capacity(signal)
      batches.send(batch, true, signal)
    }
  }

  async function drain(): Promise<void> {
    backlog.hurry()
    const end = backlog.end()
    while (batches.cursor() < end && !signal.aborted) await gate.wait(signal).catch(() => {})
  }

  async function reach(offset: number): Promise<void> {
    while (batches.cursor() < offset) await gate.wait(signal)
  }

  return {
    start() {
      running ??= run().catch(() => {}) // It rejects only when the signal aborts.
    },
    announce: backlog.announce,
    drain,
    reach,
    async stop() {
      stopping.abort(new Error('the shipper is stopped'))
      await running
      await batches.settled()
    },
    cursor: batches.cursor,
  }
}
