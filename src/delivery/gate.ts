/** Where loops wait and others wake them. */
export type Gate = {
  /** Wakes all who wait now. */
  wake(): void
  /** Resolves when woken, or after `ms`; rejects with the signal's reason once it aborts. */
  wait(signal: AbortSignal, ms?: number): Promise<void>
}

export function createGate(): Gate {
  const waiting = new Set<() => void>()
  return {
    wake() {
      for (const resume of waiting) resume()
    },
    wait: (signal, ms) =>
      new Promise((resolve, reject) => {
        if (signal.aborted) return reject(signal.reason)
        const resume = () => end(resolve)
        const abort = () => end(() => reject(signal.reason))
        const timer = ms === undefined ? undefined : setTimeout(resume, ms)
        const end = (settle: () => void) => {
          clearTimeout(timer)
          signal.removeEventListener('abort', abort)
          waiting.delete(resume)
          settle()
        }
        signal.addEventListener('abort', abort, { once: true })
        waiting.add(resume)
      }),
  }
}
