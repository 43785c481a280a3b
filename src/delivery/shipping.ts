import { type Backoff, toBackoffMs, withTimeLimit } from '../core/async.ts'
import type { Log } from '../core/log.ts'
import type { CommittedBlock } from '../core/record.ts'
import type { SinkName } from '../core/sink.ts'
import type { ClickHouseSettings } from './clickhouse/store.ts'
import type { KafkaSettings } from './kafka/settings.ts'
import type { SinkTally } from './tally.ts'
import { addTallies } from './tally.ts'
import { startShippersThread, type ThreadHandle } from './thread-handle.ts'
import type { FromThread, ThreadStatus } from './thread-messages.ts'

/** The shippers' thread, as seen from the thread that serves requests. */
export type Shipping = {
  /**
   * Resolves with each sink's cursor once the thread runs; the sinks connect in the background.
   * Rejects, in words for the operator, where it cannot run.
   */
  start(): Promise<SinkOffsets>
  /**
   * Hands a committed block over, in the journal's order. Its buffer is transferred, and is empty
   * afterwards.
   */
  push(block: CommittedBlock): void
  health(): Record<string, SinkHealth>
  stats(): ShippingStats
  /** Ships what is there. Resolves with whether all of it was shipped within `deadlineMs`. */
  drain(deadlineMs: number): Promise<boolean>
  /** Ends the thread; what is not shipped stays in the journal. */
  close(): Promise<void>
}

export type SinkHealth = {
  state: 'healthy' | 'unhealthy'
  /** Committed events that the sink does not have yet. */
  lagEvents: number
  lastError: string | undefined
}

export type ShippingStats = {
  sinks: Record<string, SinkStats>
  ring: { bytes: number; blocks: number }
  /** Handed over and not yet taken by the thread. */
  transitBytes: number
  threadRestarts: number
}

export type SinkStats = SinkTally & { cursor: number; waiting: number }

/** The next offset of each sink. */
export type SinkOffsets = Partial<Record<SinkName, number>>

export type ShippingOptions = {
  journalDir: string
  journalId: string
  /** Folder of the cursors, one for each journal. */
  stateDir: string
  /** Where the journal's commits end when the shipping is started. */
  endOffset: number
  ringBytesMax: number
  clickhouse: ClickHouseSettings
  kafka: KafkaSettings | undefined
  log: Log
  /** How a thread is started; for tests. */
  spawn?: typeof startShippersThread
  /** Everything before `offset` is on the sink's disk. */
  onAdvanced(sink: SinkName, offset: number): void
}

/** Runs the shippers in a thread of their own, which is started again should it ever end. */
export function createShipping(options: ShippingOptions): Shipping {
  return new ThreadedShipping(options)
}

/** How long a thread may take to close: the engine sees an insert through. */
const closeMsMax = 15_000
const restartBackoff: Backoff = { firstMs: 100, maxMs: 10_000 }
const noStatus: ThreadStatus = { sinks: {}, ring: { bytes: 0, blocks: 0 } }

class ThreadedShipping implements Shipping {
  readonly #options: ShippingOptions
  readonly #started = Promise.withResolvers<SinkOffsets>()
  readonly #drained = Promise.withResolvers<boolean>()
  readonly #closed = Promise.withResolvers<boolean>()
  #thread: ThreadHandle | undefined
  #isRunning = false
  #isClosing = false
  #endOffset: number
  #cursors: SinkOffsets = {}
  #status = noStatus
  /** What the threads before this one had counted. */
  readonly #earlier: Partial<Record<SinkName, SinkTally>> = {}
  #restarts = 0
  #lastError: string | undefined

  constructor(options: ShippingOptions) {
    this.#options = options
    this.#endOffset = options.endOffset
  }

  start(): Promise<SinkOffsets> {
    this.#spawn()
    return this.#started.promise
  }

  push(block: CommittedBlock): void {
    this.#endOffset = block.firstOffset + block.count
    // A thread that does not run yet finds its blocks in the journal.
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
      const tally = addTallies(this.#earlier[name], this.#status.sinks[name])
      return { ...tally, cursor, waiting: Math.max(0, this.#endOffset - cursor) }
    })
    const transitBytes = this.#thread?.transitBytes() ?? 0
    return { sinks, ring: this.#status.ring, transitBytes, threadRestarts: this.#restarts }
  }

  async drain(deadlineMs: number): Promise<boolean> {
    if (!this.#isRunning) return false
    this.#thread?.post({ type: 'drain' })
    return withTimeLimit(this.#drained.promise, deadlineMs, () => false)
  }

  async close(): Promise<void> {
    this.#isClosing = true
    if (!this.#thread) return
    this.#thread.post({ type: 'close' })
    const hasClosed = await withTimeLimit(this.#closed.promise, closeMsMax, () => false)
    if (!hasClosed) this.#options.log.warn({}, 'the shippers’ thread does not close')
    this.#thread.end(hasClosed)
  }

  #spawn(): void {
    const { log: _, onAdvanced: __, spawn = startShippersThread, ...options } = this.#options
    this.#thread = spawn({
      options: { ...options, endOffset: this.#endOffset },
      onStarted: (cursors) => this.#run(cursors),
      onMessage: (message) => this.#hear(message),
      onEnd: (error) => this.#ended(error),
    })
  }

  #hear(message: FromThread): void {
    if (message.type === 'advanced') this.#advance(message.sink, message.offset)
    if (message.type === 'status') this.#status = message.status
    if (message.type === 'log') this.#options.log[message.level](message.fields, message.message)
    if (message.type === 'drained') this.#drained.resolve(true)
    if (message.type === 'closed') this.#closed.resolve(true)
  }

  #run(cursors: SinkOffsets): void {
    this.#cursors = cursors
    this.#isRunning = true
    this.#lastError = undefined
    this.#thread?.post({ type: 'skipped', endOffset: this.#endOffset, bytes: 0 })
    this.#started.resolve(cursors)
  }

  #advance(sink: SinkName, offset: number): void {
    this.#cursors[sink] = offset
    this.#options.onAdvanced(sink, offset)
  }

  /**
   * A thread that cannot start at first has a configuration that the operator must correct, so it is
   * not started again. Every later end may pass.
   */
  #ended(error: string | undefined): void {
    const wasRunning = this.#isRunning
    this.#isRunning = false
    this.#lastError = error ?? this.#lastError ?? 'the shippers’ thread ended'
    this.#drained.resolve(false)
    this.#closed.resolve(true)
    this.#started.reject(new Error(this.#lastError))
    if (this.#isClosing || (!wasRunning && this.#restarts === 0)) return
    this.#restarts += 1
    for (const [name, tally] of Object.entries(this.#status.sinks) as [SinkName, SinkTally][])
      this.#earlier[name] = addTallies(this.#earlier[name], tally)
    this.#status = noStatus
    const fields = { error: this.#lastError, restarts: this.#restarts }
    this.#options.log.error(fields, 'the shippers’ thread ended, starting another')
    setTimeout(() => this.#spawn(), toBackoffMs(this.#restarts, restartBackoff, Math.random))
  }

  #bySink<T>(of: (name: SinkName) => T): Record<string, T> {
    const names: SinkName[] = this.#options.kafka ? ['clickhouse', 'kafka'] : ['clickhouse']
    return Object.fromEntries(names.map((name) => [name, of(name)]))
  }
}
