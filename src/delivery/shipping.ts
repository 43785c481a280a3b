import { type Backoff, toBackoffMs, withTimeLimit } from '../core/async.ts'
import type { Log } from '../core/log.ts'
import type { CommittedBlock } from '../core/record.ts'
import type { Forgotten, Person, SinkName, SinkOffsets, SinkRefusal } from '../core/sink.ts'
import { parseEnabledSinks } from './create-sinks.ts'
import { createLagClock, type LagClock } from './lag.ts'
import { addCounts, type SinkCounts } from './sink-counters.ts'
import { startDeliveryThread, type ThreadHandle } from './thread-handle.ts'
import type { FromThread, ThreadOptions, ThreadStatus } from './thread-messages.ts'

/** The delivery thread, as the thread that serves requests sees it. */
export type Shipping = {
  /**
   * Resolves with each sink's cursor when the thread runs; the sinks connect in the background.
   * Rejects with a text for the operator when the thread cannot start. If the disk is full it tries
   * again until there is space.
   */
  start(): Promise<SinkOffsets>
  /** Resolves when the start has to wait for space on the disk. */
  readonly withoutDisk: Promise<void>
  /** Whether it waits now. */
  isWithoutDisk(): boolean
  /** Takes a committed block, in the journal's order. Transfers its buffer, which is empty afterwards. */
  push(block: CommittedBlock): void
  health(): Record<string, SinkHealth>
  stats(): ShippingStats
  recordingBytesMax(): number
  /** The position of each sink in the journal: it tells how far an event has come. */
  positions(): Record<string, SinkPosition>
  /** Ships all committed records. Resolves with whether that was done within `deadlineMs`. */
  drain(deadlineMs: number): Promise<boolean>
  /**
   * Deletes what the sinks have of a person, once they have all records that are committed now. Rejects if
   * a sink fails or the thread ends.
   */
  forget(person: Person): Promise<Forgotten>
  /** Ends the thread. Records that are not shipped stay in the journal. */
  close(): Promise<void>
}

type SinkHealth = {
  state: 'healthy' | 'unhealthy'
  /** Committed events that the sink does not have yet. */
  lagEvents: number
  lastError: string | undefined
}

export type SinkPosition = {
  /** The sink has every record below it. */
  cursor: number
  partitions: Readonly<Record<string, number>>
  /** The last events that the sink refused. */
  refusals: readonly SinkRefusal[]
}

type ShippingStats = {
  sinks: Record<string, SinkStats>
  ring: { bytes: number; blocks: number }
  /** Bytes pushed and not yet taken by the thread. */
  transitBytes: number
  threadRestarts: number
  /** The largest record of a recording that all sinks accept, as far as known; else Infinity. */
  recordingBytesMax: number
}

type SinkStats = SinkCounts & {
  cursor: number
  waiting: number
  /** The age of the oldest record that it lacks. */
  lagMs: number
  /** When it last stored a batch; 0 before the first. */
  lastSuccessMs: number
}

export type ShippingOptions = Omit<ThreadOptions, 'takenBytes'> & {
  log: Log
  /** Starts the thread; replaced in tests. */
  spawn?: typeof startDeliveryThread
  /** Every record below `offset` is on the sink's disk. */
  onAdvanced(sink: SinkName, offset: number): void
}

/**
 * Runs the shippers in a thread of their own and restarts it when it ends. Throws an Error with a text
 * for the operator when the settings of a sink contradict each other.
 */
export function createShipping(options: ShippingOptions): Shipping {
  return new ThreadedShipping(options)
}

/** Time for the thread to close: the embedded ClickHouse finishes its insert. */
const closeMsMax = 15_000
const restartBackoff: Backoff = { firstMs: 100, maxMs: 10_000 }
/** SQLite's text for the cursors, and the system's. */
const diskFull = /database or disk is full|no space left|ENOSPC|EDQUOT|quota exceeded|errno: 28\b/i
const noStatus: ThreadStatus = { sinks: {}, ring: { bytes: 0, blocks: 0 } }

class ThreadedShipping implements Shipping {
  readonly #options: ShippingOptions
  readonly #sinks: readonly SinkName[]
  readonly #started = Promise.withResolvers<SinkOffsets>()
  readonly #withoutDisk = Promise.withResolvers<void>()
  readonly withoutDisk = this.#withoutDisk.promise
  #isWithoutDisk = false
  /** The thread answers them in their order. */
  readonly #drains: PromiseWithResolvers<boolean>[] = []
  /** By id. */
  readonly #forgetting = new Map<number, PromiseWithResolvers<Forgotten>>()
  #forgetId = 0
  /** Of the current thread: resolves when it has closed or ended. */
  #closed = Promise.withResolvers<boolean>()
  #thread: ThreadHandle | undefined
  #isRunning = false
  #isClosing = false
  #endOffset: number
  #cursors: SinkOffsets = {}
  readonly #lag: LagClock
  readonly #lastSuccessMs: Partial<Record<SinkName, number>> = {}
  #status = noStatus
  /** The counts of earlier threads. */
  readonly #earlier: Partial<Record<SinkName, SinkCounts>> = {}
  #restarts = 0
  #lastError: string | undefined

  constructor(options: ShippingOptions) {
    this.#options = options
    this.#sinks = parseEnabledSinks(options.config)
    this.#endOffset = options.endOffset
    this.#lag = createLagClock({ endOffset: options.endOffset, now: Date.now })
  }

  start(): Promise<SinkOffsets> {
    this.#spawn()
    return this.#started.promise
  }

  isWithoutDisk(): boolean {
    return this.#isWithoutDisk
  }

  push(block: CommittedBlock): void {
    this.#endOffset = block.firstOffset + block.count
    this.#lag.committed(this.#endOffset)
    // A thread that does not run yet reads its blocks from the journal.
    if (this.#isRunning) this.#thread?.push(block)
  }

  health(): Record<string, SinkHealth> {
    return this.#bySink((name) => {
      const status = this.#status.sinks[name]
      const isHealthy = this.#isRunning && status?.isHealthy === true
      return {
        state: isHealthy ? 'healthy' : 'unhealthy',
        lagEvents: Math.max(0, this.#endOffset - (this.#cursors[name] ?? 0)),
        lastError: isHealthy ? undefined : (status?.lastError ?? this.#lastError),
      }
    })
  }

  stats(): ShippingStats {
    const sinks = this.#bySink((name) => {
      const cursor = this.#cursors[name] ?? 0
      const counts = addCounts(this.#earlier[name], this.#status.sinks[name])
      const waiting = Math.max(0, this.#endOffset - cursor)
      const lastSuccessMs = this.#lastSuccessMs[name] ?? 0
      return { ...counts, cursor, waiting, lagMs: this.#lag.lagMs(cursor), lastSuccessMs }
    })
    const transitBytes = this.#thread?.transitBytes() ?? 0
    const { ring } = this.#status
    const recordingBytesMax = this.recordingBytesMax()
    return { sinks, ring, transitBytes, threadRestarts: this.#restarts, recordingBytesMax }
  }

  recordingBytesMax(): number {
    const known = Object.values(this.#status.sinks).flatMap((sink) => sink.recordingBytesMax ?? [])
    return Math.min(...known)
  }

  positions(): Record<string, SinkPosition> {
    return this.#bySink((name) => {
      const { partitions = {}, refusals = [] } = this.#status.sinks[name] ?? {}
      return { cursor: this.#cursors[name] ?? 0, partitions, refusals }
    })
  }

  async drain(deadlineMs: number): Promise<boolean> {
    if (!this.#isRunning) return false
    const drain = Promise.withResolvers<boolean>()
    this.#drains.push(drain)
    this.#thread?.post({ type: 'drain' })
    return withTimeLimit(drain.promise, deadlineMs, () => false)
  }

  forget(person: Person): Promise<Forgotten> {
    const done = Promise.withResolvers<Forgotten>()
    if (!this.#isRunning) done.reject(new Error('the delivery thread does not run; try again'))
    this.#forgetId += 1
    this.#forgetting.set(this.#forgetId, done)
    const message = { id: this.#forgetId, person, endOffset: this.#endOffset }
    this.#thread?.post({ type: 'forget', ...message })
    return done.promise
  }

  #settleForget({ id, outcome }: Extract<FromThread, { type: 'forgotten' }>): void {
    const done = this.#forgetting.get(id)
    this.#forgetting.delete(id)
    if ('error' in outcome) done?.reject(new Error(outcome.error))
    else done?.resolve(outcome)
  }

  async close(): Promise<void> {
    this.#isClosing = true
    if (!this.#thread) return
    this.#thread.post({ type: 'close' })
    const hasClosed = await withTimeLimit(this.#closed.promise, closeMsMax, () => false)
    if (!hasClosed)
      this.#options.log.warn(
        {},
        `the delivery thread did not close within ${closeMsMax} ms; the next start resumes its batches`,
      )
    this.#thread.end(hasClosed)
  }

  #spawn(): void {
    const { log: _, onAdvanced: __, spawn = startDeliveryThread, ...options } = this.#options
    this.#closed = Promise.withResolvers()
    this.#thread = spawn({
      options: { ...options, endOffset: this.#endOffset },
      onStarted: (cursors) => this.#onStarted(cursors),
      onMessage: (message) => this.#receive(message),
      onEnd: (error) => this.#onEnd(error),
    })
  }

  #receive(message: FromThread): void {
    if (message.type === 'advanced') this.#advance(message.sink, message.offset)
    if (message.type === 'status') this.#status = message.status
    if (message.type === 'log') this.#options.log[message.level](message.fields, message.message)
    if (message.type === 'drained') this.#drains.shift()?.resolve(true)
    if (message.type === 'forgotten') this.#settleForget(message)
    if (message.type === 'closed') this.#closed.resolve(true)
  }

  #onStarted(cursors: SinkOffsets): void {
    this.#cursors = cursors
    this.#isRunning = true
    this.#isWithoutDisk = false
    this.#lastError = undefined
    this.#thread?.post({ type: 'skipped', endOffset: this.#endOffset, bytes: 0 })
    this.#started.resolve(cursors)
  }

  #advance(sink: SinkName, offset: number): void {
    this.#cursors[sink] = offset
    this.#lastSuccessMs[sink] = Date.now()
    this.#options.onAdvanced(sink, offset)
  }

  /**
   * A failure at the first start is a configuration error, so there is no restart, unless the disk is
   * full. After any later end another thread is started.
   */
  #onEnd(error: string | undefined): void {
    const wasRunning = this.#isRunning
    this.#isRunning = false
    this.#lastError = error ?? this.#lastError ?? 'the delivery thread ended'
    for (const id of this.#forgetting.keys())
      this.#settleForget({ type: 'forgotten', id, outcome: { error: this.#lastError } })
    for (const drain of this.#drains.splice(0)) drain.resolve(false)
    this.#closed.resolve(true)
    this.#isWithoutDisk = !wasRunning && diskFull.test(this.#lastError)
    if (this.#isWithoutDisk) this.#withoutDisk.resolve()
    const isFirstStart = !wasRunning && this.#restarts === 0
    if (this.#isClosing || (isFirstStart && !this.#isWithoutDisk)) {
      this.#started.reject(new Error(this.#lastError))
      return
    }
    this.#restarts += 1
    for (const name of this.#sinks)
      this.#earlier[name] = addCounts(this.#earlier[name], this.#status.sinks[name])
    this.#status = noStatus
    const fields = { error: this.#lastError, restarts: this.#restarts }
    this.#options.log.error(fields, 'the delivery thread ended, starting another')
    const pauseMs = toBackoffMs(this.#restarts, restartBackoff, Math.random)
    setTimeout(() => this.#isClosing || this.#spawn(), pauseMs)
  }

  #bySink<T>(of: (name: SinkName) => T): Record<string, T> {
    return Object.fromEntries(this.#sinks.map((name) => [name, of(name)]))
  }
}
