/** Compares a secret with its argon2id hash. False for a hash that cannot be read. */
export type Verifier = {
  verify(secret: string, hash: string): Promise<boolean>
  close(): void
}

/**
 * Verifies in a thread of its own at low priority. `Bun.password.verify` would share its few threads with the
 * journal's writes: two verifications at once were measured to hold up a sync by 650 ms on two cores.
 */
export function createPasswordThread(): Verifier {
  let worker: Worker | undefined
  let count = 0
  const waiting = new Map<number, PromiseWithResolvers<boolean>>()

  function start(): Worker {
    const started = new Worker(new URL('./password-worker.ts', import.meta.url).href)
    started.onmessage = ({ data }: MessageEvent<Verified>) => {
      waiting.get(data.id)?.resolve(data.ok)
      waiting.delete(data.id)
    }
    started.onerror = (event) => {
      fail(new Error(`the password thread failed: ${event.message}`))
      worker = undefined
    }
    started.unref()
    return started
  }

  function fail(error: Error): void {
    for (const { reject } of waiting.values()) reject(error)
    waiting.clear()
  }

  return {
    verify(secret, hash) {
      worker ??= start()
      count += 1
      const outcome = Promise.withResolvers<boolean>()
      waiting.set(count, outcome)
      worker.postMessage({ id: count, secret, hash } satisfies ToVerify)
      return outcome.promise
    },
    close() {
      worker?.terminate()
      worker = undefined
      fail(new Error('the password thread is closed'))
    },
  }
}

export type ToVerify = { id: number; secret: string; hash: string }
export type Verified = { id: number; ok: boolean }
