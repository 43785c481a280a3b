import { IngestError } from '../../core/errors.ts'

/**
 * Keeps the turns of the event loop short, since replies leave only between them, and sheds load when there is more than
 * this thread can do. Once a turn has used its time, requests wait in their order for the next ones. Where a line has
 * lasted, those who would wait too long are refused, going by what the turns take in. Neither a crowd that comes once nor
 * a slow disk is a reason for that: the one passes, and waits for the other overlap.
 */
export function createTurnScheduler(parts: PaceParts): TurnScheduler {
  return new Line(parts)
}

export type PaceParts = {
  /** How long one turn takes requests in. */
  turnMsMax: number
  /** How long a request may have to wait in the line. */
  waitMsMax: number
  /** How long there may be a line before anybody is refused. Gaps that are shorter do not end it. */
  patienceMs: number
  /** So many may be in flight in any case: the connections of a busy proxy. */
  requestsMin: number
  /** Requests in flight, those that wait for their commit included. */
  requests(): number
  now(): number
  /** Calls back once what this turn of the event loop brought has been looked at. */
  atTurnEnd(callback: () => void): void
}

export type TurnScheduler = {
  /**
   * Before a request's work begins: undefined where it may begin at once, else when its turn has come. Throws `too_busy`
   * with `retryAfterSeconds`.
   */
  take(): Promise<void> | undefined
  refused(): number
}

class Line implements TurnScheduler {
  readonly #parts: PaceParts
  /** Those before `#first` have begun. */
  #waiting: (() => void)[] = []
  #first = 0
  #lineSinceMs = 0
  #lineSeenMs = Number.NEGATIVE_INFINITY
  /** Of the turn under way; `#taken` are the requests that have begun in it. */
  #isInTurn = false
  #startMs = 0
  #taken = 0
  /** From one turn's start to the next one's, where they follow each other. */
  #intervalMs: number
  #refused = 0
  // One for all: an error's stack costs more than the refusal.
  readonly #overload = new IngestError('too_busy', 'more arrives than the server can take', {
    retryAfterSeconds: 1,
  })

  constructor(parts: PaceParts) {
    this.#parts = parts
    this.#intervalMs = 2 * parts.turnMsMax
  }

  take(): Promise<void> | undefined {
    if (!this.#isInTurn) this.#startTurn(this.#parts.now())
    const count = this.#waiting.length - this.#first
    if (count === 0 && !this.#isOver()) {
      this.#taken += 1
      return undefined
    }
    if (this.#isTooLong(count)) {
      this.#refused += 1
      throw this.#overload
    }
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#waiting.push(resolve)
    return promise
  }

  refused(): number {
    return this.#refused
  }

  #isTooLong(count: number): boolean {
    const { waitMsMax, patienceMs, requestsMin, requests } = this.#parts
    const nowMs = this.#parts.now()
    this.#seeLine(nowMs)
    const isLong = count * this.#intervalMs >= this.#taken * waitMsMax
    return isLong && nowMs - this.#lineSinceMs > patienceMs && requests() > requestsMin
  }

  #seeLine(nowMs: number): void {
    if (nowMs - this.#lineSeenMs > this.#parts.patienceMs) this.#lineSinceMs = nowMs
    this.#lineSeenMs = nowMs
  }

  #isOver(): boolean {
    return this.#parts.now() - this.#startMs >= this.#parts.turnMsMax
  }

  #startTurn(nowMs: number): void {
    this.#isInTurn = true
    this.#startMs = nowMs
    this.#taken = 0
    this.#parts.atTurnEnd(() => this.#endTurn())
  }

  #endTurn(): void {
    this.#isInTurn = false
    if (this.#waiting.length === 0) return
    const nowMs = this.#parts.now()
    this.#seeLine(nowMs)
    this.#intervalMs = Math.max(this.#parts.turnMsMax, nowMs - this.#startMs)
    this.#startTurn(nowMs)
    this.#beginNext()
  }

  /** One at a time: what the one before does at once shows in the time. */
  #beginNext(): void {
    const begin = this.#waiting[this.#first]
    if (begin && !this.#isOver()) {
      this.#first += 1
      this.#taken += 1
      begin()
      queueMicrotask(() => this.#beginNext())
      return
    }
    this.#waiting = this.#waiting.slice(this.#first)
    this.#first = 0
  }
}
