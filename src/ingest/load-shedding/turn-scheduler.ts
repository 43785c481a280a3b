import { IngestError } from '../../core/errors.ts'

/**
 * Bounds the work of one event-loop iteration, because replies are sent only between iterations,
 * and sheds load that this thread cannot keep up with. Once an iteration has used its time,
 * requests queue in order of arrival for the next ones. If there has been a queue for
 * `shedAfterMs`, requests whose wait would exceed a limit are refused; the wait is estimated from
 * the rate at which the last `windowMs` of the queue started requests, so that one slow iteration
 * looks like no overload.
 *
 * The limit depends on how many requests arrive. A fixed number of clients, each of which waits for
 * its reply, makes a long queue that does not grow: `waitMsMax` answers them all if their wait is
 * short enough. If more arrive than are started, the queue would stay at its limit for as long as
 * that lasts: `overloadedWaitMsMax` keeps the wait short. A burst passes, and a slow disk refuses
 * none, because requests that wait for the disk do not use the thread.
 */
export function createTurnScheduler(options: TurnSchedulerOptions): TurnScheduler {
  return new Scheduler(options)
}

export type TurnSchedulerOptions = {
  /** How long one iteration may start requests. */
  iterationMsMax: number
  /** The longest estimated wait in a queue that does not grow. */
  waitMsMax: number
  /** The same while more requests arrive than are started. */
  overloadedWaitMsMax: number
  /**
   * How long a queue must last before requests are refused. Gaps shorter than this do not end it.
   */
  shedAfterMs: number
  /**
   * Never refuses while so many requests, or fewer, are in flight: the connections of a busy proxy.
   */
  requestsMin: number
  /** Requests in flight, including those that wait for their commit. */
  requests(): number
  now(): number
  /** Calls back at the end of this event-loop iteration. */
  afterIteration(callback: () => void): void
}

export type TurnScheduler = {
  /**
   * Call before the work on a request: undefined if it may start now; otherwise the promise
   * resolves when it may. Throws `too_busy` with `retryAfterSeconds`.
   */
  take(): Promise<void> | undefined
  refused(): number
}

/** Long enough that the pause of a garbage collection does not look like overload. */
const windowMs = 500
/** A longer iteration was a pause, or its requests are so slow that the wait is too long anyway. */
const iterationMsCounted = 100
/** In a window, the queue of a fixed number of clients may grow and shrink. */
const overloadFactor = 1.25

class Scheduler implements TurnScheduler {
  readonly #options: TurnSchedulerOptions
  /** Entries before `#first` have started. */
  #queue: (() => void)[] = []
  #first = 0
  #queuedSinceMs = 0
  #queueSeenMs = Number.NEGATIVE_INFINITY
  /** The current iteration, and the requests that arrived and that started in it. */
  #isInIteration = false
  #startMs = 0
  #arrived = 0
  #started = 0
  /** The iterations that ended with a queue, older ones with less weight. */
  #measured = { started: 0, ms: 0 }
  /** The same iterations since a moment. */
  #window = { startMs: 0, arrived: 0, started: 0 }
  /** More requests arrived than were started in the last window. */
  #isOverloaded = false
  #refused = 0
  // One instance for all refusals: creating an error's stack costs more than the refusal itself.
  readonly #overload = new IngestError('too_busy', 'more arrives than the server can take', {
    retryAfterSeconds: 1,
  })

  constructor(options: TurnSchedulerOptions) {
    this.#options = options
  }

  take(): Promise<void> | undefined {
    if (!this.#isInIteration) this.#startIteration(this.#options.now())
    this.#arrived += 1
    const ahead = this.#queue.length - this.#first
    if (ahead === 0 && !this.#isTimeUsed()) {
      this.#started += 1
      return undefined
    }
    if (this.#shouldShed(ahead)) {
      this.#refused += 1
      throw this.#overload
    }
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#queue.push(resolve)
    return promise
  }

  refused(): number {
    return this.#refused
  }

  #shouldShed(ahead: number): boolean {
    const { waitMsMax, overloadedWaitMsMax, shedAfterMs, requestsMin, requests } = this.#options
    const nowMs = this.#options.now()
    this.#noteQueue(nowMs)
    const msMax = this.#isOverloaded ? overloadedWaitMsMax : waitMsMax
    if (this.#toWaitMs(ahead) < msMax) return false
    return nowMs - this.#queuedSinceMs > shedAfterMs && requests() > requestsMin
  }

  /** The current iteration counts with twice its time: replies are sent after it. */
  #toWaitMs(ahead: number): number {
    const { started, ms } = this.#measured
    return (ahead * (ms + 2 * this.#options.iterationMsMax)) / (started + this.#started)
  }

  #noteQueue(nowMs: number): void {
    if (nowMs - this.#queueSeenMs > this.#options.shedAfterMs) {
      this.#queuedSinceMs = nowMs
      this.#window = { startMs: nowMs, arrived: 0, started: 0 }
      this.#isOverloaded = false
    }
    if (nowMs - this.#queueSeenMs > windowMs) this.#measured = { started: 0, ms: 0 }
    this.#queueSeenMs = nowMs
  }

  #measure(iterationMs: number, nowMs: number): void {
    const ms = Math.min(iterationMs, iterationMsCounted)
    const kept = 1 - ms / windowMs
    this.#measured.started = this.#measured.started * kept + this.#started
    this.#measured.ms = this.#measured.ms * kept + ms
    this.#window.arrived += this.#arrived
    this.#window.started += this.#started
    const { startMs, arrived, started } = this.#window
    if (nowMs - startMs < windowMs) return
    // The first window of a queue holds the burst that began it.
    this.#isOverloaded = startMs > this.#queuedSinceMs && arrived > overloadFactor * started
    this.#window = { startMs: nowMs, arrived: 0, started: 0 }
  }

  #isTimeUsed(): boolean {
    return this.#options.now() - this.#startMs >= this.#options.iterationMsMax
  }

  #startIteration(nowMs: number): void {
    this.#isInIteration = true
    this.#startMs = nowMs
    this.#arrived = 0
    this.#started = 0
    this.#options.afterIteration(() => this.#endIteration())
  }

  #endIteration(): void {
    this.#isInIteration = false
    if (this.#queue.length === 0) return
    const nowMs = this.#options.now()
    this.#noteQueue(nowMs)
    this.#measure(Math.max(this.#options.iterationMsMax, nowMs - this.#startMs), nowMs)
    this.#startIteration(nowMs)
    this.#startNext()
  }

  /**
   * One request per microtask: its synchronous work is then included in the time of the iteration.
   */
  #startNext(): void {
    const start = this.#queue[this.#first]
    if (start && !this.#isTimeUsed()) {
      this.#first += 1
      this.#started += 1
      start()
      queueMicrotask(() => this.#startNext())
      return
    }
    this.#queue = this.#queue.slice(this.#first)
    this.#first = 0
  }
}
