import { createGate, type RetryPolicy, retryUntilAborted } from '../core/async.ts'
import type { Sink } from '../core/sink.ts'
import type { ReadLimits } from '../journal/reader.ts'
import type { RecordSource } from '../journal/recent-records.ts'
import { type Backlog, createBacklog } from './backlog.ts'
import type { Cursors } from './cursors.ts'
import { type BatchesInFlightOptions, createBatchesInFlight } from './in-flight.ts'

/**
 * One sink's way through the journal, at its own pace. What fails is tried again until the shipper
 * is stopped.
 */
export type Shipper = {
  start(): void
  announce: Backlog['announce']
  /**
   * Ships what is there without waiting for more. Resolves once it is shipped, or the shipper is
   * stopped.
   */
  drain(): Promise<void>
  /** Abandons what is under way; the next start finds out what became of it. */
  stop(): Promise<void>
  /** Everything before it is on the sink's disk, and that is written down. */
  cursor(): number
}

export type ShipperOptions = Pick<BatchesInFlightOptions, 'onShipped' | 'onAdvanced' | 'onFault'> &
  RetryPolicy & {
    sink: Sink
    source: Pick<RecordSource, 'read'>
    cursors: Cursors
    limits: ReadLimits
    flushMs: number
    /** Where to begin if nothing is written down. */
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
  const flights = createBatchesInFlight({ ...options, fromOffset, onAdvanced })
  let running: Promise<void> | undefined

  function onAdvanced(offset: number): void {
    gate.wake()
    options.onAdvanced(offset)
  }

  /**
   * The range that was under way when the process ended comes first: only the sink can tell what
   * became of it.
   */
  async function resume(): Promise<void> {
    const range = cursors.pending(sink.name)
    const batch = range && (await backlog.read(range, signal))
    if (batch) flights.launch(batch, false, signal)
  }

  async function run(): Promise<void> {
    await retryUntilAborted(resume, options, signal)
    for (;;) {
      const batch = await retryUntilAborted(() => backlog.take(signal), options, signal)
      sink.stage?.(batch)
      await flights.room(signal)
      flights.launch(batch, true, signal)
    }
  }

  async function drain(): Promise<void> {
    backlog.hurry()
    const end = backlog.end()
    while (flights.cursor() < end && !signal.aborted) await gate.wait(signal).catch(() => {})
  }

  return {
    start() {
      running ??= run().catch(() => {}) // It ends by the signal alone.
    },
    announce: backlog.announce,
    drain,
    async stop() {
      stopping.abort(new Error('the shipper is stopped'))
      await running
      await flights.settled()
    },
    cursor: flights.cursor,
  }
}
