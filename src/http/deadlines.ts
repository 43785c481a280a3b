/** Ends what takes longer than `ms`, to within a tenth of that. One timer serves all, for a timer each costs a microsecond. */
export type Deadlines = {
  readonly ms: number
  /** Calls `late` once the time is over, unless what it returns is called before. */
  set(late: () => void): () => void
}

export function createDeadlines(ms: number): Deadlines {
  // All have the same time to go, so they end in the order in which they began.
  const waiting = new Set<Waiting>()
  const checking = setInterval(() => endLate(waiting, performance.now() - ms), Math.max(1, ms / 10))
  checking.unref()
  return {
    ms,
    set(late) {
      const one = { sinceMs: performance.now(), late }
      waiting.add(one)
      return () => void waiting.delete(one)
    },
  }
}

type Waiting = { sinceMs: number; late(): void }

function endLate(waiting: Set<Waiting>, beforeMs: number): void {
  for (const one of waiting) {
    if (one.sinceMs > beforeMs) return
    waiting.delete(one)
    one.late()
  }
}
