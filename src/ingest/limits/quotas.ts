import type { Clock } from '../../core/clock.ts'
import type { Category } from '../../core/event.ts'
import type { Project, Quota } from '../../core/protocol.ts'

/**
 * How much a project may still send of a category in this day or month, by UTC. Counts live in memory; what is charged
 * goes to the store every `store.everyMs`, and the answer brings what other nodes charged. So a crash forgets one such
 * interval at most, and nodes that share a quota overshoot it by what they take in one.
 */
export function createQuotas(options: { store: QuotaStore; now: Clock }): Quotas {
  return new Counters(options)
}

export type Quotas = {
  /** Infinity where the project has no such quota. A promise only for the first question of a period. */
  left(project: Project, category: Category): number | Promise<number>
  /** Only for events that are stored: a refused request and a duplicate cost nothing. */
  charge(project: Project, category: Category, count: number): void
  /** Stores what is not stored yet. */
  close(): Promise<void>
}

/** Where counts outlive the process. Never rejects: undefined stands for a total that cannot be had now. */
export type QuotaStore = {
  everyMs: number
  /** Others charge too, so totals grow by themselves. */
  isShared: boolean
  /** Adds the counts, 0 among them, and gives the totals in the same order. */
  add(charges: readonly Charge[]): Promise<readonly (number | undefined)[]>
}

/** The total under `key` is not needed once `endMs` is over. */
export type Charge = { key: string; count: number; endMs: number }

type Counter = {
  key: string
  period: Quota['period']
  endMs: number
  /** The store's total, as last heard. */
  stored: number
  /** Charged since then: not yet under way to the store, and under way. */
  waiting: number
  sending: number
  heardMs: number
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
    if (counter.heardMs === 0) {
      counter.loading ??= this.#ask([counter])
      return counter.loading.then(() => toLeft(quota, counter))
    }
    const { isShared, everyMs } = this.#store
    if (isShared && this.#now() - counter.heardMs >= everyMs) this.#askSoon(counter)
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
      heardMs: 0,
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
      this.#hear(counter, charges[at]!.count, totals[at])
    })
  }

  #hear(counter: Counter, count: number, total: number | undefined): void {
    counter.sending -= count
    counter.heardMs = this.#now()
    // Answers may overtake each other; a total only grows.
    if (total !== undefined) counter.stored = Math.max(counter.stored, total)
    else {
      counter.waiting += count
      if (counter.heardMs < counter.endMs) this.#askSoon(counter)
    }
  }
}

function toLeft({ max }: Quota, { stored, waiting, sending }: Counter): number {
  return Math.max(0, max - stored - waiting - sending)
}

/** The UTC day or month that `nowMs` is in, as `2026-01-31` or `2026-01`, and when it is over. */
function toPeriod(period: Quota['period'], nowMs: number): { label: string; endMs: number } {
  const date = new Date(nowMs)
  const [year, month, day] = [date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate()]
  const label = date.toISOString().slice(0, period === 'day' ? 10 : 7)
  const endMs = period === 'day' ? Date.UTC(year, month, day + 1) : Date.UTC(year, month + 1)
  return { label, endMs }
}
