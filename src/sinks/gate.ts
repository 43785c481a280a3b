/** Where one loop waits and others wake it. */
export type Gate = {
  wake(): void
  /** Resolves when woken, or after `ms`; rejects with the signal's reason once it aborts. */
  wait(signal: AbortSignal, ms?: number): Promise<void>
}

export function createGate(): Gate {
  let resume: (() => void) | undefined
  return {
    wake: () => resume?.(),
    wait: (signal, ms) =>
      new Promise((resolve, reject) => {
        if (signal.aborted) return reject(signal.reason)
        const timer = ms === undefined ? undefined : setTimeout(() => end(resolve), ms)
        const end = (settle: () => void) => {
          clearTimeout(timer)
          signal.removeEventListener('abort', abort)
          resume = undefined
          settle()
        }
        const abort = () => end(() => reject(signal.reason))
        signal.addEventListener('abort', abort, { once: true })
        resume = () => end(resolve)
      }),
  }
}
