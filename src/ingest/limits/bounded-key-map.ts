const { imul, clz32 } = Math
const bucketKeys = 8

/**
 * A number by key, for some `keysMax` keys. The numbers are times, so the key that makes room for another is the one
 * with the lowest: it was idle longest. Two hashes that no sender can foresee stand for a key, which takes a tenth of
 * what a Map takes where most keys are new.
 */
export class RecentKeys {
  readonly #numbers: Float64Array
  readonly #tags: Int32Array
  readonly #bucketMask: number
  readonly #seed = crypto.getRandomValues(new Int32Array(2))
  #lastKey: string | undefined
  #start = 0
  #tag = 0

  constructor(keysMax: number) {
    // Twice the room: hashes do not fill buckets evenly.
    const buckets = 2 ** (32 - clz32(Math.ceil((2 * keysMax) / bucketKeys) - 1))
    this.#bucketMask = buckets - 1
    this.#numbers = new Float64Array(buckets * bucketKeys)
    this.#tags = new Int32Array(buckets * bucketKeys)
  }

  get(key: string): number | undefined {
    this.#hash(key)
    const at = this.#find()
    return at < 0 ? undefined : this.#numbers[at]
  }

  set(key: string, number: number): void {
    this.#hash(key)
    const found = this.#find()
    const at = found < 0 ? this.#place() : found
    this.#tags[at] = this.#tag
    this.#numbers[at] = number
  }

  /** Remembered, since a key is read and then written. */
  #hash(key: string): void {
    if (key === this.#lastKey) return
    let a = this.#seed[0]!
    let b = this.#seed[1]!
    for (let index = 0; index < key.length; index += 1) {
      const code = key.charCodeAt(index)
      a = imul(a ^ code, 0x01000193)
      b = imul(b + code, 0x85ebca6b) ^ (b >>> 15)
    }
    a = imul(a ^ (a >>> 16), 0x7feb352d)
    this.#start = ((a ^ (a >>> 15)) & this.#bucketMask) * bucketKeys
    // Zero is an empty place.
    this.#tag = b ^ (b >>> 13) || 1
    this.#lastKey = key
  }

  #find(): number {
    const end = this.#start + bucketKeys
    for (let at = this.#start; at < end; at += 1) if (this.#tags[at] === this.#tag) return at
    return -1
  }

  /** An empty place, else that of the lowest number. */
  #place(): number {
    const end = this.#start + bucketKeys
    let lowest = this.#start
    for (let at = this.#start; at < end; at += 1) {
      if (this.#tags[at] === 0) return at
      if (this.#numbers[at]! < this.#numbers[lowest]!) lowest = at
    }
    return lowest
  }
}
