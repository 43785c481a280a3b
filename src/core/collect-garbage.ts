import { gcAndSweep } from 'bun:jsc'

/**
 * Forces a garbage collection each time `everyBytes` of large buffers are no longer used. JSC paces
 * its collections by the size of the heap: the dedup table makes the heap of the HTTP thread look
 * large, and the delivery thread holds its blocks outside the heap. Without forced collections a
 * multiple of `everyBytes` stays in memory.
 */
export function createGarbageCollector({
  everyBytes,
  collect = collectNow,
  defer = setImmediate,
}: GarbageCollectorOptions): GarbageCollector {
  let callbacks: (() => void)[] = []
  let unusedBytes = 0
  let isScheduled = false

  function run(): void {
    isScheduled = false
    collect()
    const collected = callbacks
    callbacks = []
    unusedBytes = 0
    for (const onCollected of collected) onCollected()
  }

  // Deferred: the stack of the caller still refers to the request that has just ended.
  function collectSoon(): void {
    if (isScheduled || unusedBytes === 0) return
    isScheduled = true
    defer(run)
  }

  return {
    add(bytes, onCollected) {
      if (onCollected) callbacks.push(onCollected)
      unusedBytes += bytes
      if (unusedBytes >= everyBytes) collectSoon()
    },
    collectSoon,
  }
}

/**
 * A buffer that is never used, so that the system gives it no memory. JSC counts it as heap, and
 * collects after the heap has grown by a share of its size: with it, the serving thread may leave
 * some 30 MiB of garbage more between two collections. Keep a reference to it.
 */
export const createBallast = (bytes: number): ArrayBuffer => new ArrayBuffer(bytes)

export type GarbageCollector = {
  /**
   * Counts `bytes` that are no longer used. `onCollected` is called after the collection that frees
   * them.
   */
  add(bytes: number, onCollected?: () => void): void
  /** Collects at the end of this event-loop iteration, unless there is nothing to collect. */
  collectSoon(): void
}

export type GarbageCollectorOptions = {
  everyBytes: number
  collect?: () => void
  /** Calls `run` at the end of this event-loop iteration. */
  defer?: (run: () => void) => void
}

/** As `Bun.gc`, but it leaves it to the allocator when freed memory goes back to the system. */
const collectNow = () => void gcAndSweep()
