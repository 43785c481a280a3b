/** Waits for `ms`, or rejects with the signal's reason once it aborts. */
export type Sleep = (ms: number, signal: AbortSignal) => Promise<void>

export const sleep: Sleep = (ms, signal) =>
  new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason)
    const stop = () => {
      clearTimeout(timer)
      reject(signal.reason)
    }
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', stop)
      resolve()
    }, ms)
    signal.addEventListener('abort', stop, { once: true })
  })

export type Backoff = { firstMs: number; maxMs: number }

/**
 * How long to wait after so many failures in a row: twice as long each time, and a random half of
 * it off, so that nodes that failed together do not come back together.
 */
export function toPauseMs(failures: number, { firstMs, maxMs }: Backoff, random: () => number) {
  const fullMs = Math.min(maxMs, firstMs * 2 ** Math.min(failures - 1, 30))
  return fullMs * (0.5 + random() / 2)
}

export type Persistence = { backoff: Backoff; sleep: Sleep; random(): number }

/** Calls until it succeeds, telling of every failure. Rejects only when the signal aborts. */
export async function insist<T>(
  call: () => Promise<T>,
  { backoff, sleep, random, onFault }: Persistence & { onFault(error: unknown): void },
  signal: AbortSignal,
): Promise<T> {
  for (let failures = 1; ; failures += 1) {
    try {
      return await call()
    } catch (error) {
      signal.throwIfAborted()
      onFault(error)
      await sleep(toPauseMs(failures, backoff, random), signal)
    }
  }
}

/** The promise's outcome, or the signal's reason once it aborts; the promise itself goes on. */
export async function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted()
  const aborted = Promise.withResolvers<never>()
  const abort = () => aborted.reject(signal.reason)
  signal.addEventListener('abort', abort, { once: true })
  try {
    return await Promise.race([promise, aborted.promise])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}
