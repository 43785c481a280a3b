import { IngestError } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import type { CommittedBlock, JournalRecord } from '../core/record.ts'
import { type Block, createBlock } from './block.ts'
import type { Writer } from './writer.ts'

/** A commit of this size takes no further requests, so that a slow disk does not make it huge. */
const commitBytesMax = 4 * 1024 * 1024
/** Empty blocks kept for reuse: one gathers records while another is written. */
const idleBlocksMax = 2

/** Group commit: all records that are appended during one commit share the next one. */
export class Committer {
  readonly #options: CommitterOptions
  readonly #idle: Block[] = []
  readonly #queue: Batch[] = []
  readonly #tasks: (() => Promise<void>)[] = []
  readonly #counts = {
    pendingRequests: 0,
    pendingBytes: 0,
    commits: 0,
    eventsAppended: 0,
    failures: 0,
  }
  #endOffset: number
  #gathering: Batch | undefined
  #running: Promise<void> | undefined
  #startedMs: number | undefined
  #lastError: string | undefined
  #isFailing = false
  #isClosed = false

  constructor(options: CommitterOptions) {
    this.#options = options
    this.#endOffset = options.endOffset
  }

  /** Every record below it is committed. */
  get endOffset(): number {
    return this.#endOffset
  }

  get pendingBytes(): number {
    return this.#counts.pendingBytes
  }

  get stats(): CommitterStats {
    const stuckMs = this.#startedMs === undefined ? 0 : this.#options.now() - this.#startedMs
    return { ...this.#counts, stuckMs, isFailing: this.#isFailing, lastError: this.#lastError }
  }

  /** Resolves when all of `records` are durable. When it rejects, none of them is committed. */
  append(records: readonly JournalRecord[]): Promise<void> {
    if (this.#isClosed)
      return Promise.reject(new IngestError('shutting_down', 'The server is stopping.'))
    if (records.length === 0) return Promise.resolve()
    const batch = this.#gathering ?? this.#createBatch()
    const bytesBefore = batch.block.frameBytes
    try {
      batch.block.add(records)
    } catch (error) {
      return Promise.reject(error)
    }
    batch.requests += 1
    this.#counts.pendingRequests += 1
    this.#counts.pendingBytes += batch.block.frameBytes - bytesBefore
    this.#gather(batch)
    return batch.outcome.promise
  }

  /** Runs `task` when no commit is running. */
  betweenCommits(task: () => Promise<void>): Promise<void> {
    const outcome = Promise.withResolvers<void>()
    this.#tasks.push(() => task().then(outcome.resolve, outcome.reject))
    this.#wake()
    return outcome.promise
  }

  /** Refuses further appends. Resolves when all earlier ones are committed or refused. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#endGathering()
    await this.#wake()
  }

  #wake(): Promise<void> {
    this.#running ??= this.#run()
    return this.#running
  }

  #createBatch(): Batch {
    const block = this.#idle.pop() ?? createBlock()
    return { block, firstOffset: 0, requests: 0, outcome: Promise.withResolvers() }
  }

  #gather(batch: Batch): void {
    const isNew = this.#gathering !== batch
    this.#gathering = batch
    if (batch.block.frameBytes >= commitBytesMax) this.#endGathering()
    if (this.#isWrittenFirst || !this.#gathering) this.#wake()
    // DURABILITY=memory: one block per event-loop iteration costs less to pass on than many.
    else if (isNew) setImmediate(() => this.#endIteration())
  }

  #endIteration(): void {
    this.#endGathering()
    this.#wake()
  }

  #endGathering(): void {
    if (!this.#gathering) return
    if (!this.#isWrittenFirst) this.#acknowledge(this.#gathering)
    this.#queue.push(this.#gathering)
    this.#gathering = undefined
  }

  async #run(): Promise<void> {
    // Requests of the same event-loop iteration share the first commit.
    await nextIteration()
    while (this.#tasks.length > 0 || this.#queue.length > 0 || this.#gathering) {
      await this.#tasks.shift()?.()
      if (this.#queue.length === 0) this.#endGathering()
      const batch = this.#queue.shift()
      if (batch) await this.#commit(batch)
    }
    this.#running = undefined
  }

  async #commit(batch: Batch): Promise<void> {
    const { writer, now } = this.#options
    const { block } = batch
    this.#startedMs = now()
    const endTimer = this.#options.startTimer?.()
    try {
      await writer.write(block, this.#isWrittenFirst ? this.#endOffset : batch.firstOffset)
      if (this.#isWrittenFirst) this.#acknowledge(batch)
      this.#isFailing = false
    } catch (error) {
      this.#refuse(batch, error)
    }
    endTimer?.()
    this.#startedMs = undefined
    this.#counts.pendingBytes -= block.payloadBytes
    block.empty()
    if (this.#idle.length < idleBlocksMax) this.#idle.push(block)
  }

  #acknowledge(batch: Batch): void {
    const { block } = batch
    batch.firstOffset = this.#endOffset
    this.#endOffset += block.count
    this.#counts.commits += 1
    this.#counts.eventsAppended += block.count
    this.#publish(batch)
    this.#counts.pendingRequests -= batch.requests
    batch.outcome.resolve()
  }

  /** A failure here loses nothing: shippers read the block from the disk instead. */
  #publish({ block, firstOffset }: Batch): void {
    const { onCommitted, log } = this.#options
    try {
      const committed = { firstOffset, count: block.count, bytes: block.copyPayload() }
      onCommitted(committed, block.receivedMs)
    } catch (error) {
      log.error(
        { error: String(error) },
        'cannot pass on a committed block; shippers read it from the disk',
      )
    }
  }

  #refuse(batch: Batch, error: unknown): void {
    this.#counts.failures += 1
    this.#isFailing = true
    this.#lastError = error instanceof Error ? error.message : String(error)
    this.#counts.pendingRequests -= batch.requests
    batch.outcome.reject(error)
  }

  get #isWrittenFirst(): boolean {
    return this.#options.durability === 'disk'
  }
}

/** For metrics, health and the journal's budget. */
export type CommitterStats = {
  pendingRequests: number
  /** Encoded and not yet written. */
  pendingBytes: number
  commits: number
  eventsAppended: number
  /** Commits that failed. Under `DURABILITY=memory` these were acknowledged before. */
  failures: number
  /** Duration of the running commit so far; 0 if none is running. */
  stuckMs: number
  /** The last commit failed. */
  isFailing: boolean
  lastError: string | undefined
}

type CommitterOptions = {
  writer: Writer
  durability: 'disk' | 'memory'
  endOffset: number
  now: () => number
  startTimer: (() => () => void) | undefined
  log: Log
  onCommitted(block: CommittedBlock, receivedMs: number): void
}

/**
 * The requests of one commit share one promise: a promise for each costs more CPU than the rest of
 * an append.
 */
type Batch = {
  block: Block
  firstOffset: number
  requests: number
  outcome: PromiseWithResolvers<void>
}

function nextIteration(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
