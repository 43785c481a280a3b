/**
 * Keeps account of what large requests leave behind, and has it collected each time it comes to `everyBytes`.
 * The collector paces itself by the size of the heap, and the table of markers makes that look large: left to
 * itself, it lets as much garbage gather again.
 */
export function createSweep({ everyBytes, collect, defer = setImmediate }: SweepParts): Sweep {
  let kept: (() => void)[] = []
  let keptBytes = 0
  let isDue = false

  function run(): void {
    isDue = false
    collect()
    const collected = kept
    kept = []
    keptBytes = 0
    for (const onCollected of collected) onCollected()
  }

  // Not now: who has just ended is still held by what called it.
  function hurry(): void {
    if (isDue || keptBytes === 0) return
    isDue = true
    defer(run)
  }

  return {
    keep(bytes, onCollected) {
      kept.push(onCollected)
      keptBytes += bytes
      if (keptBytes >= everyBytes) hurry()
    },
    hurry,
  }
}

export type Sweep = {
  /** Calls back once what these bytes were is collected. */
  keep(bytes: number, onCollected: () => void): void
  /** Collects soon, however little it is. */
  hurry(): void
}

export type SweepParts = {
  everyBytes: number
  collect(): void
  /** Calls `run` once the turn of the event loop is over. */
  defer?: (run: () => void) => void
}
