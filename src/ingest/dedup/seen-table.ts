import { type Clock, dayMs, hourMs } from '../../core/clock.ts'
import type { DedupKey } from '../../core/event.ts'

const pageBytes = 4096
const pageWords = pageBytes / 4
const bucketWords = 16
/** Above any age and position: see `#rank`. */
const freeRank = 1 << 16
const pageEntries = pageWords / 2
/** A shard is 1 GiB: Bun has no array above 4 GiB, and 32-bit indexes are the fast ones. */
const shardBits = 18
const shardPages = 2 ** shardBits
/** Half an hour, at one sweep a second. */
const sweepsPerPass = 1800
const liveHours = dayMs / hourMs
/** An entry holds its hour modulo 31, plus one; zero marks an empty entry. */
const hourMask = 31
const hourSlots = 31
/** An entry must be swept before the number of its hour is used again. */
const passLagHoursMax = hourSlots - 1 - liveHours

const { floor, imul } = Math
const toSlot = (hour: number) => 1 + (hour % hourSlots)
const scratch = Buffer.alloc(16)
const scratchWords = new Int32Array(scratch.buffer, scratch.byteOffset, 4)

/**
 * Remembers dedup keys for 24 hours (25 at most: they expire by the hour) in `bytesMax` bytes. When
 * it is full, a new entry replaces the oldest of the sixteen entries that it may use: the first one
 * at two thirds of the capacity, 1 in 1000 at four fifths.
 *
 * An entry is 64 bits: 59 of the key, 5 of the hour. It lies in one of two buckets of eight
 * entries. A bucket is one cache line, and both lie on one memory page, because a miss of the page
 * table costs as much as a miss of the cache. 32 other bits select the page; a new entry goes to
 * the emptier bucket. A new event is taken for a duplicate if 59 bits agree with one of 16 entries:
 * 2^-55 a look-up, or once in a hundred thousand years at 10,000 events a second.
 */
export function createDedupTable(options: { bytesMax: number; now: Clock }): DedupTable {
  return new Table(options)
}

export type DedupTable = Table

class Table {
  readonly capacity: number
  readonly counts = { entries: 0, forgotten: 0 }
  readonly #now: Clock
  readonly #shards: Int32Array[] = []
  /** Pages that were written to. The sweep skips the others, so that they take no memory. */
  readonly #touched: Uint8Array
  readonly #pageScale: number
  /** Age in hours by the hour number of an entry. */
  readonly #ages = new Uint8Array(hourSlots + 1).fill(255)
  #hour: number
  #hourEndsMs: number
  #pass: Pass
  #reservedPages = 0

  constructor({ bytesMax, now }: { bytesMax: number; now: Clock }) {
    const pages = Math.max(1, floor(bytesMax / pageBytes))
    this.#now = now
    this.capacity = pages * pageEntries
    this.#pageScale = pages / 2 ** 32
    for (let left = pages; left > 0; left -= shardPages)
      this.#shards.push(new Int32Array(Math.min(left, shardPages) * pageWords))
    this.#touched = new Uint8Array(pages)
    this.#hour = floor(now() / hourMs)
    this.#hourEndsMs = (this.#hour + 1) * hourMs
    this.#pass = { page: 0, startedHour: this.#hour, doneHour: this.#hour }
    this.#setAges(0)
  }

  /** The hour since 1970 of new entries. It never goes back, even if the clock does. */
  get hour(): number {
    return this.#hour
  }

  /** Reads the clock. Call once before a series of `has` and `add`. */
  keepTime(): void {
    const nowMs = this.#now()
    if (nowMs < this.#hourEndsMs) return
    const hour = floor(nowMs / hourMs)
    if (hour - this.#pass.doneHour > passLagHoursMax) this.#sweepAll(hour)
    this.#hour = hour
    this.#hourEndsMs = (hour + 1) * hourMs
    this.#setAges(0)
  }

  has(dedupKey: DedupKeyWords): boolean {
    const page = this.#pageOf(dedupKey.c)
    const words = this.#shards[page >>> shardBits]!
    const hash = toHash(dedupKey)
    return (
      this.#isIn(words, toFirst(page, hash), dedupKey) ||
      this.#isIn(words, toSecond(page, hash), dedupKey)
    )
  }

  /**
   * Remembers the key for 24 hours from `hour`. The caller must know that the table does not hold
   * it.
   */
  add(dedupKey: DedupKeyWords, hour = this.#hour): void {
    if (this.#hour - hour > liveHours) return
    const page = this.#pageOf(dedupKey.c)
    const words = this.#shards[page >>> shardBits]!
    const hash = toHash(dedupKey)
    const at = this.#place(words, toFirst(page, hash), toSecond(page, hash))
    words[at] = dedupKey.a
    words[at + 1] = (dedupKey.b & ~hourMask) | toSlot(Math.min(hour, this.#hour))
    this.#touched[page] = 1
  }

  /**
   * Loads both buckets into the cache. Measured: doing so for some dozens of keys first halves the
   * time of `has` and `add`.
   */
  prefetch(dedupKey: DedupKeyWords): number {
    const page = this.#pageOf(dedupKey.c)
    const words = this.#shards[page >>> shardBits]!
    const hash = toHash(dedupKey)
    return words[toFirst(page, hash)]! ^ words[toSecond(page, hash)]!
  }

  /**
   * Frees expired entries in the next part of the table. Takes some 20 µs; must run once a second.
   */
  sweep(): void {
    this.keepTime()
    const pages = Math.ceil(this.#touched.length / sweepsPerPass)
    for (let count = 0; count < pages; count += 1) this.#sweepNext()
  }

  /**
   * Makes the system allocate the memory of the next `pages`, some 3 µs each; returns whether any
   * are left. Otherwise the first key of each page would wait for the allocation.
   */
  reserve(pages: number): boolean {
    const end = Math.min(this.#reservedPages + pages, this.#touched.length)
    for (let page = this.#reservedPages; page < end; page += 1) {
      // Only a write allocates the page. This one changes nothing, and is never optimised away.
      Atomics.or(this.#shards[page >>> shardBits]!, toStart(page), 0)
    }
    this.#reservedPages = end
    return end < this.#touched.length
  }

  #pageOf(c: number): number {
    return floor((c >>> 0) * this.#pageScale)
  }

  #isIn(words: Int32Array, start: number, { a, b }: DedupKeyWords): boolean {
    for (let at = start; at < start + bucketWords; at += 2) {
      if (words[at] !== a) continue
      const rest = words[at + 1]!
      if (((rest ^ b) & ~hourMask) === 0 && this.#ages[rest & hourMask]! <= liveHours) return true
    }
    return false
  }

  /**
   * The place of a new entry: a free entry of the emptier bucket, or the oldest entry of both,
   * which is forgotten.
   */
  #place(words: Int32Array, first: number, second: number): number {
    const firstRank = this.#rank(words, first)
    const secondRank = this.#rank(words, second)
    const rank = Math.max(firstRank, secondRank)
    const at = (rank === firstRank ? first : second) + (rank & 0xff)
    if ((words[at + 1]! & hourMask) === 0) this.counts.entries += 1
    else if (rank < freeRank) this.counts.forgotten += 1
    return at
  }

  /**
   * One integer to compare buckets by: the free entries, then the age of the oldest entry, then its
   * position.
   */
  #rank(words: Int32Array, start: number): number {
    const ages = this.#ages
    let free = 0
    let oldest = 0
    for (let at = 0; at < bucketWords; at += 2) {
      const age = ages[words[start + at + 1]! & hourMask]!
      if (age > liveHours) free += freeRank
      const candidate = (age << 8) | at
      if (candidate > oldest) oldest = candidate
    }
    return free | oldest
  }

  /**
   * `hoursAhead`: the ages so many hours later, because the clock may jump past a whole round of
   * hour numbers.
   */
  #setAges(hoursAhead: number): void {
    for (let age = 0; age < hourSlots; age += 1)
      this.#ages[toSlot(this.#hour - age)] = Math.min(age + hoursAhead, 255)
  }

  #sweepAll(hour: number): void {
    this.#setAges(hour - this.#hour)
    for (let page = 0; page < this.#touched.length; page += 1) this.#sweepPage(page)
    this.#pass = { page: 0, startedHour: hour, doneHour: hour }
  }

  #sweepNext(): void {
    const pass = this.#pass
    if (pass.page === 0) pass.startedHour = this.#hour
    this.#sweepPage(pass.page)
    pass.page += 1
    if (pass.page < this.#touched.length) return
    pass.page = 0
    pass.doneHour = pass.startedHour
  }

  #sweepPage(page: number): void {
    if (this.#touched[page] === 0) return
    const words = this.#shards[page >>> shardBits]!
    const start = toStart(page)
    let live = 0
    for (let at = start; at < start + pageWords; at += 2) {
      const slot = words[at + 1]! & hourMask
      if (slot === 0) continue
      if (this.#ages[slot]! <= liveHours) live += 1
      else {
        words[at] = 0
        words[at + 1] = 0
        this.counts.entries -= 1
      }
    }
    if (live === 0) this.#touched[page] = 0
  }
}

/** The first 96 bits of a dedup key: the table uses no more, and marker files hold no more. */
export type DedupKeyWords = { a: number; b: number; c: number }

export const dedupKeyBytes = 12

/** Parses a key into `words` without allocating. Takes 50 ns. */
export function readDedupKey(dedupKey: DedupKey, words: DedupKeyWords): void {
  scratch.write(dedupKey, 0, dedupKeyBytes, 'hex')
  words.a = scratchWords[0]!
  words.b = scratchWords[1]!
  words.c = scratchWords[2]!
}

/**
 * The sweep's current pass: its page, the hour when it started, and the hour when the last complete
 * pass started.
 */
type Pass = { page: number; startedHour: number; doneHour: number }

const toStart = (page: number) => (page & (shardPages - 1)) * pageWords
/** Uses both words: with one of them, keys that share it would always share their buckets. */
const toHash = ({ a, c }: DedupKeyWords) => imul(c ^ a, 0x9e3779b1)
const toFirst = (page: number, hash: number) => toStart(page) + (hash >>> 26) * bucketWords
/** Another bucket of the page: the odd operand makes it differ from the first in its lowest bit. */
const toSecond = (page: number, hash: number) =>
  toStart(page) + ((hash >>> 26) ^ ((hash >>> 20) & 62) ^ 1) * bucketWords
