/**
 * A number by key for the keys used last, `keysMax` at most and half as many at least. Two maps take turns: when the young
 * one is full it becomes the old one, whose keys are forgotten unless they are used meanwhile. So a key is never moved
 * about, as it would be in a least-recently-used list, and none needs a timer.
 */
export class RecentKeys {
  readonly #halfMax: number
  #young = new Map<string, number>()
  #old = new Map<string, number>()

  constructor(keysMax: number) {
    this.#halfMax = Math.max(1, Math.floor(keysMax / 2))
  }

  get size(): number {
    return this.#young.size + this.#old.size
  }

  get(key: string): number | undefined {
    return this.#young.get(key) ?? this.#old.get(key)
  }

  set(key: string, value: number): void {
    if (this.#young.size >= this.#halfMax && !this.#young.has(key)) {
      this.#old = this.#young
      this.#young = new Map()
    }
    this.#young.set(key, value)
  }
}
