import { copyText } from '../../core/copy-text.ts'
import type { CacheCounts } from './counts.ts'

/** Results by text. The same text has the same result until `clear`. */
export type TextCache<Result> = {
  of(text: string): Result
  clear(): void
}

/**
 * Computes a result once for each text that clients send, and remembers it. A text has a few places,
 * by a seeded hash, and a new one replaces another of them: so entries and bytes are bounded, and
 * texts that collide only replace each other, which a sender cannot use to hold up the thread. The
 * runtime's own Map has no seed, and its chains grow. Only the first `charsMax` characters of a text
 * count, so `entriesMax * charsMax` bounds the memory.
 */
export function createTextCache<Result>(options: TextCacheOptions<Result>): TextCache<Result> {
  const { compute, unknown, charsMax, counts, budget } = options
  const mask = options.entriesMax / places - 1
  let texts: (string | undefined)[] = new Array(options.entriesMax).fill(undefined)
  let results: Result[] = new Array(options.entriesMax).fill(unknown)
  let replaced = 0
  let lastText: string | undefined
  let lastResult = unknown

  function find(text: string): Result {
    const first = (Bun.hash.xxHash32(text, seed) & mask) * places
    for (let at = first; at < first + places; at += 1) {
      if (texts[at] !== text) continue
      counts.hits += 1
      return results[at]!
    }
    if (budget.left <= 0 || budget.leftMs <= 0) {
      counts.skipped += 1
      return unknown
    }
    budget.left -= 1
    counts.misses += 1
    // A part of a request's text would keep the whole text in memory.
    const key = copyText(text, charsMax)
    const startMs = performance.now()
    const result = compute(key)
    budget.leftMs -= Math.min(performance.now() - startMs, resultMsMax)
    replaced += 1
    texts[first + (replaced % places)] = key
    results[first + (replaced % places)] = result
    return result
  }

  return {
    of(text) {
      if (text === '') return unknown
      // Events of a batch share their texts.
      if (text === lastText) {
        counts.hits += 1
        return lastResult
      }
      const result = find(text.length > charsMax ? text.slice(0, charsMax) : text)
      lastText = text.length > charsMax || result === unknown ? undefined : text
      lastResult = result
      return result
    },
    clear() {
      texts = new Array(options.entriesMax).fill(undefined)
      results = new Array(options.entriesMax).fill(unknown)
      lastText = undefined
    },
  }
}

export type TextCacheOptions<Result> = {
  /** Total: it must not throw. */
  compute(text: string): Result
  /** The result once the budget is used up. It is not remembered. */
  unknown: Result
  /** A power of two. */
  entriesMax: number
  charsMax: number
  counts: CacheCounts
  budget: MissBudget
}

/**
 * How many results may still be computed for the request at hand, and how long. Several caches share one.
 * A count alone would not do: the patterns take 30 µs for a usual User-Agent, and 700 for a hostile one.
 */
export type MissBudget = { left: number; leftMs: number }

/**
 * The dearest text takes less. A result that took longer was computed by patterns that are not compiled
 * yet, or on a busy machine, and the other texts of the request must not pay for it.
 */
const resultMsMax = 1
/** Each text has so many places. */
const places = 4
const seed = crypto.getRandomValues(new Uint32Array(1))[0]!
