import type { DedupKey } from '../../core/event.ts'

/**
 * Which request holds which marker while its events are on their way to the journal, and who waits for the outcome.
 *
 * Nobody waits in a circle. A request takes all its markers in one synchronous step, so requests are ordered by that
 * step, and a waiter always comes after the holder. When a holder gives up, its marker goes to the earliest waiter,
 * which comes before all that still wait for it. So every wait points from a later request to an earlier one, the
 * earliest of all waits for nobody, and each ends when its commit does. A copy within a request never waits.
 */
export class Pending {
  readonly #holders = new Map<DedupKey, Holder>()
  readonly #waiters = new Map<DedupKey, Waiter[]>()

  get size(): number {
    return this.#holders.size
  }

  /** Takes the marker of the holder's event `index`: `held` by it now, a `copy` of an earlier one of its own, or it `waits`. */
  take(dedupKey: DedupKey, holder: Holder, index: number): 'held' | 'copy' | 'waits' {
    const other = this.#holders.get(dedupKey)
    if (other === undefined) {
      this.#holders.set(dedupKey, holder)
      return 'held'
    }
    if (other === holder) return 'copy'
    const waiters = this.#waiters.get(dedupKey)
    // Its own entry would be the last: all its markers are taken in one step.
    if (waiters?.at(-1)?.holder === holder) return 'copy'
    if (waiters === undefined) this.#waiters.set(dedupKey, [{ holder, index }])
    else waiters.push({ holder, index })
    return 'waits'
  }

  /** The event is seen now: all who wait for it have a duplicate. */
  settle(dedupKey: DedupKey): void {
    this.#holders.delete(dedupKey)
    if (this.#waiters.size === 0) return
    const waiters = this.#waiters.get(dedupKey)
    if (waiters === undefined) return
    this.#waiters.delete(dedupKey)
    for (const { holder, index } of waiters) holder.told(index, 'duplicate')
  }

  /** The event did not come about: the earliest who waits for it may try. */
  giveUp(dedupKey: DedupKey, holder: Holder): void {
    const others = (this.#waiters.get(dedupKey) ?? []).filter((waiter) => waiter.holder !== holder)
    const isHeld = this.#holders.get(dedupKey) === holder
    const next = isHeld ? others.shift() : undefined
    if (others.length > 0) this.#waiters.set(dedupKey, others)
    else this.#waiters.delete(dedupKey)
    if (isHeld) this.#handOver(dedupKey, next)
  }

  #handOver(dedupKey: DedupKey, next: Waiter | undefined): void {
    if (next === undefined) this.#holders.delete(dedupKey)
    else this.#holders.set(dedupKey, next.holder)
    next?.holder.told(next.index, 'held')
  }
}

export type Holder = {
  /** How the wait of event `index` ended: another request stored it, or it is this one's to store. */
  told(index: number, outcome: 'duplicate' | 'held'): void
}

type Waiter = { holder: Holder; index: number }
