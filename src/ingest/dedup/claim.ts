import { withTimeLimit } from '../../core/async.ts'
import { IngestError } from '../../core/errors.ts'
import type { DedupKey } from '../../core/event.ts'
import type { MarkerFiles } from './marker-log.ts'
import type { RedisDedupKeys } from './redis-markers.ts'
import { type DedupKeyWords, type DedupTable, readDedupKey } from './seen-table.ts'

/** Memory answers for some dozens of markers in the time it takes for a few. */
const aheadDedupKeys = 64

/** Where a marker is looked at: one object for all, so that none is made per event. */
const words: DedupKeyWords = { a: 0, b: 0, c: 0 }

/** A request's hold on its events. Ends with `commit` or `release`; calls after the first do nothing. */
export type Claim = {
  readonly duplicates: number
  /** New: neither seen before, nor a copy of an earlier one of the same request. */
  isNew(index: number): boolean
  /** The events are durable. The promise is Redis being told: 50 ms at most. */
  commit(): void | Promise<void>
  release(): void
}

export type ClaimParts = {
  table: DedupTable
  pending: Pending
  files?: MarkerFiles | undefined
  shared?: RedisDedupKeys | undefined
}

/** One request's markers on their way from claimed to seen. See `createDedup`. */
export class RequestClaim implements Claim, Holder {
  readonly dedupKeys: readonly (DedupKey | undefined)[]
  duplicates = 0
  readonly #parts: ClaimParts
  /** The markers' words, so that each is read once. */
  readonly #words: Int32Array
  #isDuplicate: Uint8Array | undefined
  #waits = 0
  #isOver = false
  #wake: (() => void) | undefined

  constructor(parts: ClaimParts, dedupKeys: readonly (DedupKey | undefined)[]) {
    this.dedupKeys = dedupKeys
    this.#parts = parts
    this.#words = new Int32Array(dedupKeys.length * 3)
    parts.table.keepTime()
    this.#readMarkers()
    for (let index = 0; index < dedupKeys.length; index += 1) {
      if (index % aheadDedupKeys === 0) this.#prefetch(index)
      this.#take(index)
    }
  }

  get isWaiting(): boolean {
    return this.#waits > 0
  }

  isNew(index: number): boolean {
    return this.#isDuplicate?.[index] !== 1
  }

  /** Resolves once nobody else holds an event of this request. */
  async wait(msMax: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#wake = resolve
    await withTimeLimit(promise, msMax, () => {
      const details = { retryAfterSeconds: 1 }
      throw new IngestError('too_busy', 'a request with the same events is under way', details)
    })
  }

  told(index: number, outcome: 'duplicate' | 'held'): void {
    if (outcome === 'duplicate') this.#drop(index)
    this.#waits -= 1
    if (this.#waits === 0) this.#wake?.()
  }

  /** The events that are this request's to store, as far as they have an identity. */
  held(): number[] {
    return [...this.dedupKeys.keys()].filter(
      (index) => this.dedupKeys[index] !== undefined && this.isNew(index),
    )
  }

  /** Another node has stored it. */
  dropSeen(index: number): void {
    this.#parts.table.add(this.#wordsAt(index))
    this.#drop(index)
    this.#parts.pending.settle(this.dedupKeys[index]!)
  }

  commit(): void | Promise<void> {
    if (this.#isOver) return
    this.#isOver = true
    const { table, files, pending, shared } = this.#parts
    table.keepTime()
    for (let index = 0; index < this.dedupKeys.length; index += 1) {
      if (index % aheadDedupKeys === 0) this.#prefetch(index)
      const dedupKey = this.dedupKeys[index]
      if (dedupKey === undefined || !this.isNew(index)) continue
      const dedupKeyWords = this.#wordsAt(index)
      table.add(dedupKeyWords)
      files?.append(dedupKeyWords, table.hour)
      pending.settle(dedupKey)
    }
    if (!shared?.isAvailable()) return
    const stored = this.held().map((index) => this.dedupKeys[index]!)
    if (stored.length > 0) return shared.mark(stored)
  }

  release(): void {
    if (this.#isOver) return
    this.#isOver = true
    for (const index of this.held()) this.#parts.pending.giveUp(this.dedupKeys[index]!, this)
  }

  #readMarkers(): void {
    for (let index = 0; index < this.dedupKeys.length; index += 1) {
      const dedupKey = this.dedupKeys[index]
      if (dedupKey === undefined) continue
      readDedupKey(dedupKey, words)
      this.#words[index * 3] = words.a
      this.#words[index * 3 + 1] = words.b
      this.#words[index * 3 + 2] = words.c
    }
  }

  #prefetch(from: number): void {
    const end = Math.min(from + aheadDedupKeys, this.dedupKeys.length)
    for (let index = from; index < end; index += 1) this.#parts.table.prefetch(this.#wordsAt(index))
  }

  #wordsAt(index: number): DedupKeyWords {
    words.a = this.#words[index * 3]!
    words.b = this.#words[index * 3 + 1]!
    words.c = this.#words[index * 3 + 2]!
    return words
  }

  #take(index: number): void {
    const dedupKey = this.dedupKeys[index]
    if (dedupKey === undefined) return
    const isSeen = this.#parts.table.has(this.#wordsAt(index))
    const outcome = isSeen ? 'copy' : this.#parts.pending.take(dedupKey, this, index)
    if (outcome === 'copy') this.#drop(index)
    if (outcome === 'waits') this.#waits += 1
  }

  #drop(index: number): void {
    this.#isDuplicate ??= new Uint8Array(this.dedupKeys.length)
    this.#isDuplicate[index] = 1
    this.duplicates += 1
  }
}

/**
 * Which request holds which marker while its events are on their way to the journal, and who waits for the outcome.
 *
 * Nobody waits in a circle. A request takes all its markers in one synchronous step, so requests are ordered by that
 * step, and a waiter always comes after the holder. When a holder gives up, its marker goes to the earliest waiter,
 * which comes before all that still wait for it. So every wait points from a later request to an earlier one, the
 * earliest of all waits for nobody, and each ends when its commit does. A copy within a request never waits.
 */
export class Pending {
  readonly #holders = new Map<DedupKey, Holder>()
  readonly #waiters = new Map<DedupKey, Waiter[]>()

  get size(): number {
    return this.#holders.size
  }

  /** Takes the marker of the holder's event `index`: `held` by it now, a `copy` of an earlier one of its own, or it `waits`. */
  take(dedupKey: DedupKey, holder: Holder, index: number): 'held' | 'copy' | 'waits' {
    const other = this.#holders.get(dedupKey)
    if (other === undefined) {
      this.#holders.set(dedupKey, holder)
      return 'held'
    }
    if (other === holder) return 'copy'
    const waiters = this.#waiters.get(dedupKey)
    // Its own entry would be the last: all its markers are taken in one step.
    if (waiters?.at(-1)?.holder === holder) return 'copy'
    if (waiters === undefined) this.#waiters.set(dedupKey, [{ holder, index }])
    else waiters.push({ holder, index })
    return 'waits'
  }

  /** The event is seen now: all who wait for it have a duplicate. */
  settle(dedupKey: DedupKey): void {
    this.#holders.delete(dedupKey)
    if (this.#waiters.size === 0) return
    const waiters = this.#waiters.get(dedupKey)
    if (waiters === undefined) return
    this.#waiters.delete(dedupKey)
    for (const { holder, index } of waiters) holder.told(index, 'duplicate')
  }

  /** The event did not come about: the earliest who waits for it may try. */
  giveUp(dedupKey: DedupKey, holder: Holder): void {
    const others = (this.#waiters.get(dedupKey) ?? []).filter((waiter) => waiter.holder !== holder)
    const isHeld = this.#holders.get(dedupKey) === holder
    const next = isHeld ? others.shift() : undefined
    if (others.length > 0) this.#waiters.set(dedupKey, others)
    else this.#waiters.delete(dedupKey)
    if (isHeld) this.#handOver(dedupKey, next)
  }

  #handOver(dedupKey: DedupKey, next: Waiter | undefined): void {
    if (next === undefined) this.#holders.delete(dedupKey)
    else this.#holders.set(dedupKey, next.holder)
    next?.holder.told(next.index, 'held')
  }
}

export type Holder = {
  /** How the wait of event `index` ended: another request stored it, or it is this one's to store. */
  told(index: number, outcome: 'duplicate' | 'held'): void
}

type Waiter = { holder: Holder; index: number }
