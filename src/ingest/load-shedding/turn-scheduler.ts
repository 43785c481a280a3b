import { IngestError } from '../../core/errors.ts'

/**
 * Bounds the work of one event-loop iteration, because replies are sent only between iterations,
 * and sheds load that this thread cannot keep up with. Once an iteration has used its time,
 * requests queue in order of arrival for the next ones. If there has been a queue for
 * `shedAfterMs`, requests whose wait would exceed `waitMsMax` are refused; the wait is estimated
 * from the previous iteration. A short burst or a slow disk causes no refusals: a burst passes, and
 * requests that wait for the disk do not use the thread.
 */
export function createTurnScheduler(options: TurnSchedulerOptions): TurnScheduler {
  return new Scheduler(options)
}

export type TurnSchedulerOptions = {
  /** How long one iteration may start requests. */
  iterationMsMax: number
  /** The longest estimated wait in the queue. */
  waitMsMax: number
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

class Scheduler implements TurnScheduler {
  readonly #options: TurnSchedulerOptions
  /** Entries before `#first` have started. */
  #queue: (() => void)[] = []
  #first = 0
  #queuedSinceMs = 0
  #queueSeenMs = Number.NEGATIVE_INFINITY
  /** The current iteration; `#started` counts the requests that started in it. */
  #isInIteration = false
  #startMs = 0
  #started = 0
  /** From the start of one iteration to the start of the next. */
  #intervalMs: number
  #refused = 0
  // One instance for all refusals: creating an error's stack costs more than the refusal itself.
  readonly #overload = new IngestError('too_busy', 'more arrives than the server can take', {
    retryAfterSeconds: 1,
  })

  constructor(options: TurnSchedulerOptions) {
    this.#options = options
    this.#intervalMs = 2 * options.iterationMsMax
  }

  take(): Promise<void> | undefined {
    if (!this.#isInIteration) this.#startIteration(this.#options.now())
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
    const { waitMsMax, shedAfterMs, requestsMin, requests } = this.#options
    const nowMs = this.#options.now()
    this.#noteQueue(nowMs)
    const isWaitTooLong = ahead * this.#intervalMs >= this.#started * waitMsMax
    return isWaitTooLong && nowMs - this.#queuedSinceMs > shedAfterMs && requests() > requestsMin
  }

  #noteQueue(nowMs: number): void {
    if (nowMs - this.#queueSeenMs > this.#options.shedAfterMs) this.#queuedSinceMs = nowMs
    this.#queueSeenMs = nowMs
  }

  #isTimeUsed(): boolean {
    return this.#options.now() - this.#startMs >= this.#options.iterationMsMax
  }

  #startIteration(nowMs: number): void {
    this.#isInIteration = true
    this.#startMs = nowMs
    this.#started = 0
    this.#options.afterIteration(() => this.#endIteration())
  }

  #endIteration(): void {
    this.#isInIteration = false
    if (this.#queue.length === 0) return
    const nowMs = this.#options.now()
    this.#noteQueue(nowMs)
    this.#intervalMs = Math.max(this.#options.iterationMsMax, nowMs - this.#startMs)
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
