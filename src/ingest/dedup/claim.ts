import { withTimeLimit } from '../../core/async.ts'
import { IngestError } from '../../core/errors.ts'
import type { DedupKey } from '../../core/event.ts'
import { SeededMap } from '../../core/seeded-map.ts'
import type { MarkerFiles } from './marker-log.ts'
import type { RedisDedupKeys } from './redis-markers.ts'
import { type DedupKeyWords, type DedupTable, readDedupKey } from './seen-table.ts'

/** A request's hold on its events. Ends with `commit` or `release`; later calls are no-ops. */
export type Claim = {
  readonly duplicates: number
  /** Neither seen before nor a duplicate of an earlier event of the same request. */
  isNew(index: number): boolean
  /**
   * Call when the events are durable. With Redis the promise resolves once the keys are stored
   * there, after 50 ms at most.
   */
  commit(): void | Promise<void>
  release(): void
}

export type ClaimOptions = {
  table: DedupTable
  pending: PendingClaims
  files?: MarkerFiles | undefined
  shared?: RedisDedupKeys | undefined
}

/** Prefetching this many entries takes as long as fetching a few: the memory accesses overlap. */
const prefetchedDedupKeys = 64

/** One object for all look-ups, so that none is allocated per event. */
const words: DedupKeyWords = { a: 0, b: 0, c: 0 }

export class RequestClaim implements Claim, Holder {
  readonly dedupKeys: readonly (DedupKey | undefined)[]
  duplicates = 0
  readonly #options: ClaimOptions
  /** Three words per key, so that each key is parsed once. */
  readonly #words: Int32Array
  #isDuplicate: Uint8Array | undefined
  #waits = 0
  #isEnded = false
  #resolveWait: (() => void) | undefined

  constructor(options: ClaimOptions, dedupKeys: readonly (DedupKey | undefined)[]) {
    this.dedupKeys = dedupKeys
    this.#options = options
    this.#words = new Int32Array(dedupKeys.length * 3)
    options.table.keepTime()
    this.#readDedupKeys()
    for (let index = 0; index < dedupKeys.length; index += 1) {
      if (index % prefetchedDedupKeys === 0) this.#prefetch(index)
      this.#take(index)
    }
  }

  get isWaiting(): boolean {
    return this.#waits > 0
  }

  isNew(index: number): boolean {
    return this.#isDuplicate?.[index] !== 1
  }

  /**
   * Resolves once no other request holds an event of this one. Rejects with `too_busy` after
   * `msMax`.
   */
  async wait(msMax: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#resolveWait = resolve
    await withTimeLimit(promise, msMax, () => {
      const details = { retryAfterSeconds: 1 }
      throw new IngestError(
        'too_busy',
        'another request with the same events is in flight',
        details,
      )
    })
  }

  endWait(index: number, outcome: 'duplicate' | 'held'): void {
    if (outcome === 'duplicate') this.#drop(index)
    this.#waits -= 1
    if (this.#waits === 0) this.#resolveWait?.()
  }

  /** Indexes of the new events that have a dedup key. */
  held(): number[] {
    return [...this.dedupKeys.keys()].filter(
      (index) => this.dedupKeys[index] !== undefined && this.isNew(index),
    )
  }

  /** For an event that another node has stored. */
  dropSeen(index: number): void {
    this.#options.table.add(this.#wordsAt(index))
    this.#drop(index)
    this.#options.pending.settle(this.dedupKeys[index]!)
  }

  commit(): void | Promise<void> {
    if (this.#isEnded) return
    this.#isEnded = true
    const { table, files, pending, shared } = this.#options
    table.keepTime()
    for (let index = 0; index < this.dedupKeys.length; index += 1) {
      if (index % prefetchedDedupKeys === 0) this.#prefetch(index)
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
    if (this.#isEnded) return
    this.#isEnded = true
    for (const index of this.held()) this.#options.pending.release(this.dedupKeys[index]!, this)
  }

  #readDedupKeys(): void {
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
    const end = Math.min(from + prefetchedDedupKeys, this.dedupKeys.length)
    const { table } = this.#options
    for (let index = from; index < end; index += 1) table.prefetch(this.#wordsAt(index))
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
    const isSeen = this.#options.table.has(this.#wordsAt(index))
    const outcome = isSeen ? 'duplicate' : this.#options.pending.take(dedupKey, this, index)
    if (outcome === 'duplicate') this.#drop(index)
    if (outcome === 'waits') this.#waits += 1
  }

  #drop(index: number): void {
    this.#isDuplicate ??= new Uint8Array(this.dedupKeys.length)
    this.#isDuplicate[index] = 1
    this.duplicates += 1
  }
}

/**
 * The dedup keys of events between claim and commit: which request holds each, and which requests
 * wait for the outcome.
 *
 * Deadlock-free: a request takes all its keys in one synchronous step, so requests are ordered by
 * that step, and a waiting request always comes after the holder. When a holder releases a key, the
 * earliest waiting request becomes the holder; it comes before all others that wait for this key.
 * So every wait points from a later request to an earlier one, and the earliest request waits for
 * none. A duplicate within a request never waits.
 */
export class PendingClaims {
  // A client can compute dedup keys, and choose events whose keys share a bucket of a Map.
  readonly #holders = new SeededMap<Holder>(hashedDigits)
  readonly #waiting = new SeededMap<Waiting[]>(hashedDigits)

  get size(): number {
    return this.#holders.size
  }

  /**
   * Takes the key of the holder's event `index`. `held`: by this holder now; `duplicate`: of an
   * earlier event of this holder; `waits`: until another request ends.
   */
  take(dedupKey: DedupKey, holder: Holder, index: number): 'held' | 'duplicate' | 'waits' {
    const other = this.#holders.add(dedupKey, holder)
    if (other === undefined) return 'held'
    if (other === holder) return 'duplicate'
    const waiting = this.#waiting.get(dedupKey)
    // An own entry can only be the last one, because all keys of a request are taken in one step.
    if (waiting?.at(-1)?.holder === holder) return 'duplicate'
    if (waiting === undefined) this.#waiting.set(dedupKey, [{ holder, index }])
    else waiting.push({ holder, index })
    return 'waits'
  }

  /** The event is stored: it is a duplicate for all requests that wait for it. */
  settle(dedupKey: DedupKey): void {
    this.#holders.delete(dedupKey)
    if (this.#waiting.size === 0) return
    const waiting = this.#waiting.get(dedupKey)
    if (waiting === undefined) return
    this.#waiting.delete(dedupKey)
    for (const { holder, index } of waiting) holder.endWait(index, 'duplicate')
  }

  /** The event is not stored: the earliest waiting request becomes the holder. */
  release(dedupKey: DedupKey, holder: Holder): void {
    const others = (this.#waiting.get(dedupKey) ?? []).filter((entry) => entry.holder !== holder)
    const isHeld = this.#holders.get(dedupKey) === holder
    const next = isHeld ? others.shift() : undefined
    if (others.length > 0) this.#waiting.set(dedupKey, others)
    else this.#waiting.delete(dedupKey)
    if (isHeld) this.#handOver(dedupKey, next)
  }

  #handOver(dedupKey: DedupKey, next: Waiting | undefined): void {
    if (next === undefined) this.#holders.delete(dedupKey)
    else this.#holders.set(dedupKey, next.holder)
    next?.holder.endWait(next.index, 'held')
  }
}

/** No client finds many keys with the same 48 bits. */
const hashedDigits = 12

type Holder = {
  /** `duplicate`: another request has stored event `index`; `held`: this request holds it now. */
  endWait(index: number, outcome: 'duplicate' | 'held'): void
}

type Waiting = { holder: Holder; index: number }
