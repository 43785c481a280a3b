import { createRequestThread } from '../../core/worker-thread.ts'

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
  const script = new URL('./password-worker.ts', import.meta.url).href
  const thread = createRequestThread<PasswordCheck, boolean>({
    ...{ name: 'password thread', script, isBackground: true },
  })
  return { verify: (secret, hash) => thread.request({ secret, hash }), close: thread.close }
}

export type PasswordCheck = { secret: string; hash: string }
