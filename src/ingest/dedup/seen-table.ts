import { type Clock, dayMs, hourMs } from '../../core/clock.ts'
import type { DedupKey } from '../../core/event.ts'

const pageBytes = 4096
const pageWords = pageBytes / 4
const bucketWords = 16
/** Above any age and position: see `#rank`. */
const freeRank = 1 << 16
const pageEntries = pageWords / 2
/** Memory is taken in segments of 4 MiB; the system allocates their pages when they are used. */
const segmentBits = 10
const segmentPages = 2 ** segmentBits
/**
 * The table grows when the mean page holds more entries; a page that is not split yet holds up to
 * twice as many. Measured with 20 million keys: none forgotten at 160, 1 at 170, 99 at 190.
 */
const pageEntriesMean = 160
/** Eight doublings take 8 of the 59 bits that tell keys apart. */
const doublingsMax = 8
/** Rounding down to a multiple of `2 ** doublings` pages wastes at most a hundredth. */
const basePagesMin = 128
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
 * Remembers dedup keys for 24 hours (25 at most: they expire by the hour) in at most
 * `bytesMax` bytes. It grows with its entries, 26 bytes for each, and never shrinks. When it is
 * full, a new entry replaces the oldest of the sixteen entries that it may use: the first one at
 * two thirds of the capacity, 1 in 1000 at four fifths.
 *
 * An entry is 64 bits: 59 of the key, 5 of the hour. It lies in one of two buckets of eight
 * entries, the emptier one. A bucket is one cache line, and both lie on one memory page, because a
 * miss of the page table costs as much as a miss of the cache.
 *
 * Growth is linear hashing. 32 other bits of the key select one of the base pages. One page after
 * the other is split in two by a bit of its entries; after all of them the next bit is used. An
 * entry keeps its bucket, so a split moves half of a page in some 3 µs; an addition makes at most
 * one. Up to 8 of the 59 bits select the page, so they are equal in all entries of a page. A new
 * event is taken for a duplicate if the other 51 agree with one of 16 entries: 2^-47 a look-up, or
 * once in 400 years at 10,000 events a second.
 */
export function createDedupTable(options: { bytesMax: number; now: Clock }): DedupTable {
  return new Table(options)
}

export type DedupTable = Table

class Table {
  readonly capacity: number
  readonly counts = { entries: 0, forgotten: 0 }
  readonly #now: Clock
  readonly #segments: Int32Array[] = []
  readonly #basePages: number
  readonly #baseScale: number
  readonly #pagesMax: number
  #pages: number
  /** `#basePages * 2 ** doublings`: the pages below `#pages - #levelPages` are split. */
  #levelPages: number
  /** The bits of an entry that select among pages with the same base, up to the next split's. */
  #splitMask = 1
  /** Age in hours by the hour number of an entry. */
  readonly #ages = new Uint8Array(hourSlots + 1).fill(255)
  #hour: number
  #hourEndsMs: number
  #pass: Pass

  constructor({ bytesMax, now }: { bytesMax: number; now: Clock }) {
    const pages = Math.max(1, floor(bytesMax / pageBytes))
    const doublings = Math.min(doublingsMax, floor(Math.log2(Math.max(1, pages / basePagesMin))))
    this.#now = now
    this.#basePages = floor(pages / 2 ** doublings)
    this.#baseScale = this.#basePages / 2 ** 32
    this.#pagesMax = this.#basePages * 2 ** doublings
    this.#pages = this.#basePages
    this.#levelPages = this.#basePages
    this.capacity = this.#pagesMax * pageEntries
    this.#addSegments()
    this.#hour = floor(now() / hourMs)
    this.#hourEndsMs = (this.#hour + 1) * hourMs
    this.#pass = { page: 0, startedHour: this.#hour, doneHour: this.#hour }
    this.#setAges(0)
  }

  get bytes(): number {
    return this.#pages * pageBytes
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
    const page = this.#pageOf(dedupKey)
    const words = this.#segments[page >>> segmentBits]!
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
    const page = this.#pageOf(dedupKey)
    const words = this.#segments[page >>> segmentBits]!
    const hash = toHash(dedupKey)
    const at = this.#place(words, toFirst(page, hash), toSecond(page, hash))
    words[at] = dedupKey.a
    words[at + 1] = (dedupKey.b & ~hourMask) | toSlot(Math.min(hour, this.#hour))
    if (this.counts.entries > this.#pages * pageEntriesMean) this.#grow()
  }

  /**
   * Loads both buckets into the cache. Measured: doing so for some dozens of keys first halves the
   * time of `has` and `add`.
   */
  prefetch(dedupKey: DedupKeyWords): number {
    const page = this.#pageOf(dedupKey)
    const words = this.#segments[page >>> segmentBits]!
    const hash = toHash(dedupKey)
    return words[toFirst(page, hash)]! ^ words[toSecond(page, hash)]!
  }

  /**
   * Frees expired entries in the next part of the table. Takes some 20 µs; must run once a second.
   */
  sweep(): void {
    this.keepTime()
    const pages = Math.ceil(this.#pages / sweepsPerPass)
    for (let count = 0; count < pages; count += 1) this.#sweepNext()
  }

  #pageOf({ a, c }: DedupKeyWords): number {
    const base = floor((c >>> 0) * this.#baseScale)
    const page = base + this.#basePages * (a & this.#splitMask)
    return page < this.#pages ? page : base + this.#basePages * (a & (this.#splitMask >>> 1))
  }

  /** Splits the next page: its entries with the next bit move to the same places of a new page. */
  #grow(): void {
    if (this.#pages === this.#pagesMax) return
    const target = this.#pages++
    const source = target - this.#levelPages
    this.#addSegments()
    const from = this.#segments[source >>> segmentBits]!
    const to = this.#segments[target >>> segmentBits]!
    const bit = this.#splitMask ^ (this.#splitMask >>> 1)
    const start = toStart(source)
    const distance = toStart(target) - start
    for (let at = start; at < start + pageWords; at += 2) {
      if ((from[at]! & bit) === 0) continue
      to[at + distance] = from[at]!
      to[at + 1 + distance] = from[at + 1]!
      from[at] = 0
      from[at + 1] = 0
    }
    if (this.#pages < 2 * this.#levelPages) return
    this.#levelPages *= 2
    this.#splitMask = 2 * this.#splitMask + 1
  }

  #addSegments(): void {
    while (this.#segments.length * segmentPages < this.#pages) {
      const pages = Math.min(segmentPages, this.#pagesMax - this.#segments.length * segmentPages)
      this.#segments.push(new Int32Array(pages * pageWords))
    }
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
    for (let page = 0; page < this.#pages; page += 1) this.#sweepPage(page)
    this.#pass = { page: 0, startedHour: hour, doneHour: hour }
  }

  #sweepNext(): void {
    const pass = this.#pass
    if (pass.page === 0) pass.startedHour = this.#hour
    this.#sweepPage(pass.page)
    pass.page += 1
    if (pass.page < this.#pages) return
    pass.page = 0
    pass.doneHour = pass.startedHour
  }

  #sweepPage(page: number): void {
    const words = this.#segments[page >>> segmentBits]!
    const start = toStart(page)
    for (let at = start; at < start + pageWords; at += 2) {
      const slot = words[at + 1]! & hourMask
      if (slot === 0) continue
      if (this.#ages[slot]! <= liveHours) continue
      words[at] = 0
      words[at + 1] = 0
      this.counts.entries -= 1
    }
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

const toStart = (page: number) => (page & (segmentPages - 1)) * pageWords
/** Uses both words: with one of them, keys that share it would always share their buckets. */
const toHash = ({ a, c }: DedupKeyWords) => imul(c ^ a, 0x9e3779b1)
const toFirst = (page: number, hash: number) => toStart(page) + (hash >>> 26) * bucketWords
/** Another bucket of the page: the odd operand makes it differ from the first in its lowest bit. */
const toSecond = (page: number, hash: number) =>
  toStart(page) + ((hash >>> 26) ^ ((hash >>> 20) & 62) ^ 1) * bucketWords
