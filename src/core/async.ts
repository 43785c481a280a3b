/**
 * The outcome of `promise`. After `msMax` it is what `onTimeout` returns, or rejects with what it
 * throws; the promise itself goes on.
 */
export function withTimeLimit<T, F = never>(
  promise: Promise<T>,
  msMax: number,
  onTimeout: () => F | Promise<F>,
): Promise<T | F> {
  // No `async` and no Promise.race: this runs once for each call to Redis.
  const { promise: outcome, resolve, reject } = Promise.withResolvers<T | F>()
  const expire = () => {
    try {
      resolve(onTimeout())
    } catch (error) {
      reject(error)
    }
  }
  let timer = setTimeout(() => {
    // The event loop reads its sockets once before the second timer fires: a reply that waits
    // behind a busy loop is not late.
    timer = setTimeout(expire, 1)
  }, msMax)
  promise.then(resolve, reject).finally(() => clearTimeout(timer))
  return outcome
}

/** Waits for `ms`. Rejects with the signal's reason when the signal aborts. */
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
 * The pause after `failures` failures in a row (at least 1). It doubles with each failure up to
 * `maxMs`. `random` takes up to half of it off, so that nodes that failed together do not retry
 * together.
 */
export function toBackoffMs(failures: number, { firstMs, maxMs }: Backoff, random: () => number) {
  const fullMs = Math.min(maxMs, firstMs * 2 ** Math.min(failures - 1, 30))
  return fullMs * (0.5 + random() / 2)
}

/** For `toBackoffMs` where only one process retries: the full pause. */
export const noJitter = () => 1

export type RetryPolicy = { backoff: Backoff; sleep: Sleep; random(): number }

/** Calls until a call succeeds and reports each failure. Rejects only when the signal aborts. */
export async function retryUntilAborted<T>(
  call: () => Promise<T>,
  { backoff, sleep, random, onFault }: RetryPolicy & { onFault(error: unknown): void },
  signal: AbortSignal,
): Promise<T> {
  for (let failures = 1; ; failures += 1) {
    try {
      return await call()
    } catch (error) {
      signal.throwIfAborted()
      onFault(error)
      await sleep(toBackoffMs(failures, backoff, random), signal)
    }
  }
}

/** The outcome of `promise`. Rejects with the signal's reason when the signal aborts first. */
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

/** Lets loops wait until another part wakes them. */
export type Gate = {
  /** Wakes every loop that waits now. */
  wake(): void
  /** Resolves when woken, or after `ms`. Rejects with the signal's reason when the signal aborts. */
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

/**
 * Calls `make` at most once in `ms`; callers in between share its last result. A call that fails is
 * not kept.
 */
export function shareFor<T>(ms: number, make: () => Promise<T>): () => Promise<T> {
  let last: { atMs: number; result: Promise<T> } | undefined
  return () => {
    const atMs = performance.now()
    if (last !== undefined && atMs - last.atMs < ms) return last.result
    const made = { atMs, result: make() }
    made.result.catch(() => {
      if (last === made) last = undefined
    })
    last = made
    return made.result
  }
}
