import { BoundedKeyMap } from './bounded-key-map.ts'

/**
 * JSON.parse for text that strangers send, on a thread that must not be held up.
 *
 * The runtime interns property names and short string values in one table, by a hash without a
 * seed. A sender who knows the hash can choose texts that all collide: 8,000 of them take 0.7 s.
 * Interned texts live until a garbage collection, so small bodies add up. Only measuring shows a
 * collision, because the hash belongs to the runtime. See docs/decisions/0023-json-that-collides.md.
 */
export type JsonGuard = {
  /**
   * Whether many texts of `text` collide. Looks at a sample first, which takes microseconds; a body
   * with many unfamiliar texts is interned step by step, and abandoned as soon as that gets slow.
   */
  collides(text: string): boolean
  /** JSON.parse. A parse that takes too long because of collisions is noted for `takeCollision`. */
  parse(text: string): unknown
  /** Whether there is a collision for `takeCollision`. */
  hasCollision(): boolean
  /** True once after each collision that `collides` or `parse` has found. */
  takeCollision(): boolean
}

export function createJsonGuard(collect: () => void = createCollect()): JsonGuard {
  let familiar = new BoundedKeyMap(familiarMax)
  let clock = 0
  let hasCollided = false
  let excessMs = 0

  function isFamiliar(token: string): boolean {
    clock += 1
    const isKnown = familiar.get(token) !== undefined
    familiar.set(token, clock)
    return isKnown
  }

  function accuse(): void {
    hasCollided = true
    // Entries that an attacker has planted would let later bodies pass the sample.
    familiar = new BoundedKeyMap(familiarMax)
  }

  function countExcess(ms: number): void {
    excessMs += ms
    if (excessMs < excessMsMax) return
    excessMs = 0
    collect()
  }

  function onSlow(text: string, ms: number): void {
    const verdict = judgeInterning(text)
    if (verdict === 'slow') accuse()
    if (verdict !== 'fast') countExcess(ms)
  }

  return {
    collides(text) {
      if (text.length <= sampledCharsMin) return false
      if (estimateTexts(text, isFamiliar) <= textsMax) return false
      const startMs = performance.now()
      if (!internsSlowly(text)) return false
      accuse()
      countExcess(performance.now() - startMs)
      return true
    },
    parse(text) {
      const startMs = performance.now()
      try {
        return JSON.parse(text)
      } finally {
        const ms = performance.now() - startMs
        if (ms > slowMsMin + text.length * slowMsPerChar) onSlow(text, ms)
      }
    },
    hasCollision: () => hasCollided,
    takeCollision() {
      const had = hasCollided
      hasCollided = false
      return had
    },
  }
}

/**
 * Shorter texts are not sampled: they hold at most 600 texts, which take 7 ms if all of them
 * collide.
 */
const sampledCharsMin = 8 * 1024
/** So many texts take 10 to 30 ms if all of them collide. */
const textsMax = 1000
/** The names and values that occur often. Few, because an attacker may plant some of them. */
const familiarMax = 128
/** Ten times as long as JSON usually takes, and longer than most pauses of the runtime. */
const slowMsMin = 1
const slowMsPerChar = 50e-6
/** A collection takes 20 to 70 ms: it must not cost more than the collisions that it ends. */
const excessMsMax = 50

/** Collects once at the end of this event-loop iteration, so that interned texts are dropped. */
function createCollect(): () => void {
  let isScheduled = false
  return () => {
    if (isScheduled) return
    isScheduled = true
    setImmediate(() => {
      isScheduled = false
      Bun.gc(true)
    })
  }
}

/** Measured: a sample takes 0.5 µs. */
const charsPerSample = 4 * 1024
const samplesMax = 16
/** Longer texts are never familiar: names and values that occur often are short. */
const familiarCharsMax = 32
/** Longer texts are too few to matter. */
const windowChars = 256

/**
 * Estimates how many unfamiliar texts `text` holds, from random places: each stands for its share
 * of the text. At a random place it is unknown whether a quote opens or closes a text, so the
 * characters before and behind the second quote both count as a text.
 */
function estimateTexts(text: string, isFamiliar: (token: string) => boolean): number {
  const samples = Math.min(samplesMax, Math.ceil(text.length / charsPerSample))
  const share = text.length / samples
  const isKnown = (window: string, open: number, end: number) =>
    end - open <= familiarCharsMax && isFamiliar(window.substring(open + 1, end))
  let estimate = 0
  for (let sample = 0; sample < samples; sample += 1) {
    const at = Math.floor((sample + Math.random()) * share)
    const window = text.substring(at, at + windowChars)
    const first = endOfString(window, -1)
    const second = endOfString(window, first)
    if (second >= window.length) continue
    const third = endOfString(window, second)
    if (isKnown(window, first, second) && isKnown(window, second, third)) continue
    estimate += share / (Math.min(third, window.length) - first)
  }
  return estimate
}

/** The texts that are interned before the time is looked at. */
const chunkTexts = 16
/** Texts without collisions differ in length and cache misses, but not by this factor. */
const slowFactor = 4
/** Measured: a text takes 0.1 µs, and as much again for every 10 to 50 collisions. */
const slowMsOfTextMin = 0.001
/** Fewer texts prove nothing. */
const judgedTextsMin = 4
/** A busy machine slows down one chunk, not several in a row. */
const slowChunks = 4

/** After so many texts, texts are taken half as often. Measured: 128 KiB take 0.4 ms then. */
const internedOfDistance = 256

/**
 * `slow`: the texts collide. `unsure`: they seem to, but are too few to accuse their sender, because
 * a busy machine or code that has not run before is slow, too.
 */
type InterningVerdict = 'slow' | 'unsure' | 'fast'

/** Whether interning texts of the JSON is slow beyond doubt. */
export const internsSlowly = (text: string): boolean => judgeInterning(text) === 'slow'

/**
 * How fast texts of the JSON are interned. Stops at once if that is slow: after some hundred
 * collisions, which take a few milliseconds. Of many texts it takes some, at random distances. Each
 * is interned once only, because the runtime has caches in front of its table.
 */
function judgeInterning(text: string): InterningVerdict {
  const msMax = Math.max(slowMsOfTextMin, slowFactor * measureControl())
  /** Texts are interned as long as they live. */
  const kept: string[] = []
  let chunk: string[] = []
  let distanceMax = 1
  let skipped = 0
  let chunks = 0
  let slow = 0
  const intern = () => {
    chunks += 1
    slow = toMedianMs(chunk, kept) > msMax ? slow + 1 : 0
    chunk = []
    if (kept.length % internedOfDistance === 0) distanceMax = 2 * distanceMax + 1
  }
  for (let open = text.indexOf('"'); open >= 0 && slow < slowChunks; ) {
    const end = endOfString(text, open)
    if (skipped === 0) {
      if (end - open <= windowChars) chunk.push(text.substring(open, end + 1))
      if (chunk.length === chunkTexts) intern()
      skipped = Math.floor(Math.random() * distanceMax)
    } else skipped -= 1
    open = text.indexOf('"', end + 1)
  }
  if (chunk.length >= judgedTextsMin && slow < slowChunks) intern()
  if (slow >= slowChunks) return 'slow'
  return slow > 0 && slow === chunks ? 'unsure' : 'fast'
}

const noProperties: Record<string, unknown> = Object.create(null)

/**
 * The median time to look up a JSON string as a property name, which interns it. A pause of the
 * thread falls into one look-up, so it does not count.
 */
function toMedianMs(strings: readonly string[], kept: string[]): number {
  const times = strings.map((string) => {
    const startMs = performance.now()
    const text = string.includes('\\')
      ? toUnescaped(string)
      : string.substring(1, string.length - 1)
    noProperties[text]
    kept.push(text)
    return performance.now() - startMs
  })
  return times.sort((a, b) => a - b)[times.length >> 1]!
}

function toUnescaped(string: string): string {
  try {
    return JSON.parse(string) as string
  } catch {
    return string
  }
}

/** The same for new names that do not collide: the least of several chunks. */
function measureControl(): number {
  const prefix = Math.random().toString(36)
  const kept: string[] = []
  let leastMs = Number.POSITIVE_INFINITY
  for (let chunk = 0; chunk < 2 * slowChunks; chunk += 1) {
    const names = Array.from({ length: chunkTexts }, (_, index) => `"${prefix}${chunk}${index}"`)
    leastMs = Math.min(leastMs, toMedianMs(names, kept))
  }
  return leastMs
}

/**
 * Counts different names as they are written in a JSON text, without interning them. A name counts
 * twice if it is written in two ways.
 */
export class NameSet {
  readonly #hashes = new Set<number>()

  get size(): number {
    return this.#hashes.size
  }

  /** Adds the string between two quotes, at `from` and before `end`, if a colon follows. */
  addIfName(text: string, from: number, end: number): void {
    if (isColonNext(text, end + 1)) this.#hashes.add(hashSeeded(text, from, end))
  }
}

function isColonNext(text: string, from: number): boolean {
  let at = from
  while (text.charCodeAt(at) <= space) at += 1
  return text.charCodeAt(at) === colon
}

const hashSeed = crypto.getRandomValues(new Int32Array(2))

export function hashSeeded(text: string, from: number, end: number): number {
  let a = hashSeed[0]!
  let b = hashSeed[1]!
  for (let index = from; index < end; index += 1) {
    const code = text.charCodeAt(index)
    a = Math.imul(a ^ code, 0x01000193)
    b = Math.imul(b + code, 0x85ebca6b) ^ (b >>> 15)
  }
  return a ^ Math.imul(b, 0x7feb352d)
}

/**
 * The index of the next quote behind `open` that is not escaped: after an even number of
 * backslashes. The length of `text` if there is none.
 */
export function endOfString(text: string, open: number): number {
  let end = open
  for (;;) {
    end = text.indexOf('"', end + 1)
    if (end < 0) return text.length
    let before = end
    while (text.charCodeAt(before - 1) === backslash) before -= 1
    if ((end - before) % 2 === 0) return end
  }
}

const space = 32
const colon = 58
const backslash = 92

/** The table of interned texts belongs to the thread, and so does this guard. */
export const jsonGuard = createJsonGuard()
