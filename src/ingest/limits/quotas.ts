import type { Clock } from '../../core/clock.ts'
import type { QuotaName } from '../../core/event.ts'
import type { Project, Quota } from '../../core/protocol.ts'

/**
 * Counts how much of each quota a project has used in this UTC day or month. Events are reserved
 * when they are judged; after the commit the new ones are charged and the others given back, so
 * requests in parallel cannot exceed a quota together.
 *
 * A single node reserves in memory, and its charges go to the store every `store.everyMs`: a crash
 * forgets the charges of one interval, and no reservation outlives the process. Nodes that share a
 * quota reserve in the store: what a killed node had reserved for its requests in flight stays used
 * until the period ends. While the store does not answer, each node counts for itself.
 */
export function createQuotas(options: { store: QuotaStore; now: Clock }): Quotas {
  return new Counters(options)
}

export type Quotas = {
  /**
   * Reserves up to `count` events. On a single node a promise only for the first call in a period.
   * Never rejects.
   */
  reserve(project: Project, name: QuotaName, count: number): QuotaGrant | Promise<QuotaGrant>
  /** Stores the charges that are not stored yet. */
  close(): Promise<void>
}

export type QuotaGrant = {
  /** Events that the quota allows; all that were asked for if there is no such quota. */
  count: number
  /** Charges `used` of them and gives back the others. The first call counts. */
  settle(used: number): void
}

/**
 * A quota of a project. A contract without one of its own has one of the size of `events`, which it
 * uses up by itself.
 */
export function quotaOf({ quotas }: Project, name: QuotaName): Quota | undefined {
  const isContract = name === 'telemetry' || name === 'link' || name === 'report'
  return quotas[name] ?? (isContract ? quotas.events : undefined)
}

/** Keeps counts beyond the process. Never rejects: undefined if there is no answer now. */
export type QuotaStore = {
  everyMs: number
  /**
   * Adds the counts and returns the totals in the same order. A count may be 0, or below it to give
   * back what was taken.
   */
  add(charges: readonly Charge[]): Promise<readonly (number | undefined)[]>
  /** Takes as much of `count` as stays within `max`. Only stores that several nodes share have it. */
  take?(charge: Charge, max: number): Promise<{ granted: number; total: number } | undefined>
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
   * (`sending`). Below 0: to give back.
   */
  waiting: number
  sending: number
  /** Reserved in memory, and not settled yet. */
  reserved: number
  /** Calls to the store, and the last one whose answer is used: answers may arrive out of order. */
  calls: number
  answeredCall: number
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

  reserve(project: Project, name: QuotaName, count: number): QuotaGrant | Promise<QuotaGrant> {
    const quota = quotaOf(project, name)
    if (quota === undefined) return { count, settle() {} }
    const counter = this.#counterOf(project.id, name, quota)
    if (this.#store.take) return this.#reserveShared(counter, quota.max, count)
    if (counter.answeredMs > 0) return this.#reserveHere(counter, quota.max, count)
    counter.loading ??= this.#ask([counter])
    return counter.loading.then(() => this.#reserveHere(counter, quota.max, count))
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer)
    await this.#flushing
    await this.#ask([...this.#due])
    clearTimeout(this.#timer)
  }

  #reserveHere(counter: Counter, max: number, count: number): QuotaGrant {
    const granted = Math.min(count, toLeft(max, counter))
    counter.reserved += granted
    return this.#toGrant(counter, granted, (used) => {
      counter.reserved -= granted
      return used
    })
  }

  async #reserveShared(counter: Counter, max: number, count: number): Promise<QuotaGrant> {
    const isFresh = this.#now() - counter.answeredMs < this.#store.everyMs
    if (isFresh && toLeft(max, counter) === 0) return { count: 0, settle() {} }
    const call = this.#startCall(counter)
    const { key, endMs } = counter
    const answer = await this.#store.take?.({ key, count, endMs }, max)
    this.#useTotal(counter, call, answer?.total)
    if (answer === undefined) return this.#reserveHere(counter, max, count)
    const { granted } = answer
    return this.#toGrant(counter, granted, (used) => used - granted)
  }

  /** `toCharge` returns what the store has to add once `used` is known. */
  #toGrant(counter: Counter, count: number, toCharge: (used: number) => number): QuotaGrant {
    let isSettled = false
    return {
      count,
      settle: (used) => {
        if (isSettled) return
        isSettled = true
        const charge = toCharge(used)
        counter.waiting += charge
        if (charge !== 0) this.#askSoon(counter)
      },
    }
  }

  #counterOf(projectId: string, quotaName: QuotaName, { period }: Quota): Counter {
    const name = `${quotaName}:${projectId}`
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
      reserved: 0,
      calls: 0,
      answeredCall: 0,
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
    const calls = counters.map((counter) => this.#startCall(counter))
    const charges = counters.map((counter) => {
      this.#due.delete(counter)
      const count = counter.waiting
      counter.waiting = 0
      counter.sending += count
      return { key: counter.key, count, endMs: counter.endMs }
    })
    const totals = await this.#store.add(charges)
    counters.forEach((counter, at) => {
      counter.sending -= charges[at]!.count
      this.#useTotal(counter, calls[at]!, totals[at])
      if (totals[at] === undefined) this.#addAgain(counter, charges[at]!.count)
    })
  }

  /** Only charges are repeated: the store may have counted the call, and must not give back twice. */
  #addAgain(counter: Counter, count: number): void {
    if (count <= 0) return
    counter.waiting += count
    if (counter.answeredMs < counter.endMs) this.#askSoon(counter)
  }

  #startCall(counter: Counter): number {
    counter.calls += 1
    return counter.calls
  }

  #useTotal(counter: Counter, call: number, total: number | undefined): void {
    counter.answeredMs = this.#now()
    if (total === undefined || call < counter.answeredCall) return
    counter.stored = total
    counter.answeredCall = call
  }
}

function toLeft(max: number, { stored, waiting, sending, reserved }: Counter): number {
  return Math.max(0, max - stored - waiting - sending - reserved)
}

/** The UTC day or month of `nowMs`, as `2026-01-31` or `2026-01`, and its end. */
function toPeriod(period: Quota['period'], nowMs: number): { label: string; endMs: number } {
  const date = new Date(nowMs)
  const [year, month, day] = [date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate()]
  const label = date.toISOString().slice(0, period === 'day' ? 10 : 7)
  const endMs = period === 'day' ? Date.UTC(year, month, day + 1) : Date.UTC(year, month + 1)
  return { label, endMs }
}
