import { hashSeeded } from './json-guard.ts'

/**
 * A Map for texts that strangers choose. The hash of the runtime's own Map has no seed: 20,000
 * texts that collide take 2 s, and texts that share only a bucket can be found by trying. Keeps the
 * order of insertion, except for texts whose seeded hashes collide.
 */
export class SeededMap<Value> {
  readonly #entries = new Map<number, Entry<Value>>()
  readonly #hashedMax: number
  #size = 0

  /** `hashedMax`: characters at the start that are hashed; fewer for texts that are hashes. */
  constructor(hashedMax = Number.POSITIVE_INFINITY) {
    this.#hashedMax = hashedMax
  }

  get size(): number {
    return this.#size
  }

  get(key: string): Value | undefined {
    return this.#find(key)?.value
  }

  set(key: string, value: Value): void {
    if (this.add(key, value) !== undefined) this.#find(key)!.value = value
  }

  /** Sets the value only if there is none; otherwise returns the one that there is. */
  add(key: string, value: Value): Value | undefined {
    const hash = this.#hash(key)
    const first = this.#entries.get(hash)
    let entry = first
    while (entry !== undefined && entry.key !== key) entry = entry.next
    if (entry !== undefined) return entry.value
    this.#entries.set(hash, { key, value, next: first })
    this.#size += 1
    return undefined
  }

  delete(key: string): void {
    const hash = this.#hash(key)
    let previous: Entry<Value> | undefined
    let entry = this.#entries.get(hash)
    while (entry !== undefined && entry.key !== key) {
      previous = entry
      entry = entry.next
    }
    if (entry === undefined) return
    this.#size -= 1
    if (previous !== undefined) previous.next = entry.next
    else if (entry.next !== undefined) this.#entries.set(hash, entry.next)
    else this.#entries.delete(hash)
  }

  keys(): string[] {
    return this.#list().map(({ key }) => key)
  }

  values(): Value[] {
    return this.#list().map(({ value }) => value)
  }

  #find(key: string): Entry<Value> | undefined {
    let entry = this.#entries.get(this.#hash(key))
    while (entry !== undefined && entry.key !== key) entry = entry.next
    return entry
  }

  #list(): Entry<Value>[] {
    const all: Entry<Value>[] = []
    for (const first of this.#entries.values())
      for (let entry: Entry<Value> | undefined = first; entry; entry = entry.next) all.push(entry)
    return all
  }

  #hash(key: string): number {
    return hashSeeded(key, 0, Math.min(key.length, this.#hashedMax))
  }
}

type Entry<Value> = { readonly key: string; value: Value; next: Entry<Value> | undefined }
