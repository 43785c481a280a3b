import type { Clock } from '../../core/clock.ts'
import type { Category } from '../../core/event.ts'
import type { Project, Quota } from '../../core/protocol.ts'

/**
 * Counts how much of each category a project has sent in this UTC day or month. Counts are kept in memory.
 * Charges go to the store every `store.everyMs`, and the answer includes the charges of other
 * nodes. So a crash forgets one such interval at most, and nodes that share a quota exceed it by
 * what they take in one interval.
 */
export function createQuotas(options: { store: QuotaStore; now: Clock }): Quotas {
  return new Counters(options)
}

export type Quotas = {
  /** Infinity if the project has no such quota. A promise only for the first call in a period. */
  left(project: Project, category: Category): number | Promise<number>
  /** Call for stored events only: refused requests and duplicates are not charged. */
  charge(project: Project, category: Category, count: number): void
  /** Stores the charges that are not stored yet. */
  close(): Promise<void>
}

/** Keeps counts beyond the process. Never rejects: undefined if a total is not available now. */
export type QuotaStore = {
  everyMs: number
  /** Other nodes charge too, so a total may grow without a charge of this node. */
  isShared: boolean
  /** Adds the counts, which may be 0, and returns the totals in the same order. */
  add(charges: readonly Charge[]): Promise<readonly (number | undefined)[]>
}

/** The store may forget the total of `key` after `endMs`. */
export type Charge = { key: string; count: number; endMs: number }

type Counter = {
  key: string
  period: Quota['period']
  endMs: number
  /** The store's total, as of the last answer. */
  stored: number
  /**
   * Charged since then: not sent to the store yet (`waiting`), and sent without an answer
   * (`sending`).
   */
  waiting: number
  sending: number
  answeredMs: number
  loading: Promise<void> | undefined
}

class Counters implements Quotas {
  readonly #store: QuotaStore
  readonly #now: Clock
  readonly #counters = new Map<string, Counter>()
  readonly #due = new Set<Counter>()
  #timer: Timer | undefined
  #flushing = Promise.resolve()

  constructor({ store, now }: { store: QuotaStore; now: Clock }) {
    this.#store = store
    this.#now = now
  }

  left(project: Project, category: Category): number | Promise<number> {
    const quota = project.quotas[category]
    if (quota === undefined) return Number.POSITIVE_INFINITY
    const counter = this.#counterOf(project.id, category, quota)
    if (counter.answeredMs === 0) {
      counter.loading ??= this.#ask([counter])
      return counter.loading.then(() => toLeft(quota, counter))
    }
    const { isShared, everyMs } = this.#store
    if (isShared && this.#now() - counter.answeredMs >= everyMs) this.#askSoon(counter)
    return toLeft(quota, counter)
  }

  charge(project: Project, category: Category, count: number): void {
    const quota = project.quotas[category]
    if (quota === undefined || count === 0) return
    const counter = this.#counterOf(project.id, category, quota)
    counter.waiting += count
    this.#askSoon(counter)
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer)
    await this.#flushing
    await this.#ask([...this.#due])
    clearTimeout(this.#timer)
  }

  #counterOf(projectId: string, category: Category, { period }: Quota): Counter {
    const name = `${category}:${projectId}`
    const known = this.#counters.get(name)
    const nowMs = this.#now()
    if (known !== undefined && known.period === period && nowMs < known.endMs) return known
    const { label, endMs } = toPeriod(period, nowMs)
    const counter: Counter = {
      key: `${name}:${label}`,
      period,
      endMs,
      stored: 0,
      waiting: 0,
      sending: 0,
      answeredMs: 0,
      loading: undefined,
    }
    this.#counters.set(name, counter)
    return counter
  }

  #askSoon(counter: Counter): void {
    this.#due.add(counter)
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      this.#flushing = this.#flushing.then(() => this.#ask([...this.#due]))
    }, this.#store.everyMs)
  }

  async #ask(counters: readonly Counter[]): Promise<void> {
    if (counters.length === 0) return
    const charges = counters.map((counter) => {
      this.#due.delete(counter)
      const count = counter.waiting
      counter.waiting = 0
      counter.sending += count
      return { key: counter.key, count, endMs: counter.endMs }
    })
    const totals = await this.#store.add(charges)
    counters.forEach((counter, at) => {
      this.#takeAnswer(counter, charges[at]!.count, totals[at])
    })
  }

  #takeAnswer(counter: Counter, count: number, total: number | undefined): void {
    counter.sending -= count
    counter.answeredMs = this.#now()
    // Answers may arrive out of order; a total only grows.
    if (total !== undefined) counter.stored = Math.max(counter.stored, total)
    else {
      counter.waiting += count
      if (counter.answeredMs < counter.endMs) this.#askSoon(counter)
    }
  }
}

function toLeft({ max }: Quota, { stored, waiting, sending }: Counter): number {
  return Math.max(0, max - stored - waiting - sending)
}

/** The UTC day or month of `nowMs`, as `2026-01-31` or `2026-01`, and its end. */
function toPeriod(period: Quota['period'], nowMs: number): { label: string; endMs: number } {
  const date = new Date(nowMs)
  const [year, month, day] = [date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate()]
  const label = date.toISOString().slice(0, period === 'day' ? 10 : 7)
  const endMs = period === 'day' ? Date.UTC(year, month, day + 1) : Date.UTC(year, month + 1)
  return { label, endMs }
}
