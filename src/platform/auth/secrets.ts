import { createHmac, randomBytes } from 'node:crypto'
import { createRequestThread } from '../../core/worker-thread.ts'
import { OAuthError } from './oauth-error.ts'

export type Secrets = {
  /**
   * Whether `secret` matches `hash`. Without a hash the result is false after the same time, so
   * that the time does not reveal which names exist. Throws OAuthError `temporarily_unavailable`
   * when the queue is full.
   */
  verify(secret: string, hash: string | undefined): Promise<boolean>
  close(): void
}

/** Compares a secret with its argon2id hash. False for a hash that cannot be parsed. */
export type Verifier = {
  verify(secret: string, hash: string): Promise<boolean>
  close(): void
}

/** The hash of discarded random bytes, at the usual cost. No secret matches it. */
const dummyHash =
  '$argon2id$v=19$m=65536,t=2,p=1$iQpxWpZdGdpXlF0LOUSpNjlWBZu5ZEDwUDz5T/nh6WE$Y/MTp4oWg3nIhh+SUFjyVkZtL7oYvwfSVK3vZH+M4FY'

/** A verification takes about 100 ms, so the last in the queue waits about 3 s. */
const waitingMaxDefault = 32
const rememberedMaxDefault = 1000

/**
 * Verifies secrets one after the other, with a bounded queue. It remembers a pair that matched, as
 * a digest under a key that exists in this process only: a fleet that reconnects with one client
 * secret costs one verification.
 */
export function createSecrets({
  verifier,
  waitingMax = waitingMaxDefault,
  rememberedMax = rememberedMaxDefault,
}: {
  verifier: Verifier
  waitingMax?: number
  rememberedMax?: number
}): Secrets {
  const digestKey = randomBytes(32)
  const matched = new Set<string>()
  const running = new Map<string, Promise<boolean>>()

  function verify(secret: string, hash = dummyHash): Promise<boolean> {
    const pair = createHmac('sha256', digestKey).update(`${hash}\n${secret}`).digest('base64')
    if (matched.has(pair)) return Promise.resolve(true)
    const alreadyRunning = running.get(pair)
    if (alreadyRunning) return alreadyRunning
    if (running.size >= waitingMax) return Promise.reject(tooMany())
    const outcome = verifyPair(pair, secret, hash)
    running.set(pair, outcome)
    return outcome
  }

  async function verifyPair(pair: string, secret: string, hash: string): Promise<boolean> {
    try {
      const isMatch = await verifier.verify(secret, hash)
      if (isMatch) remember(pair)
      return isMatch
    } finally {
      running.delete(pair)
    }
  }

  function remember(pair: string): void {
    const [oldest] = matched
    if (matched.size >= rememberedMax && oldest !== undefined) matched.delete(oldest)
    matched.add(pair)
  }

  return { verify, close: () => verifier.close() }
}

/**
 * Verifies in a thread of its own at low priority. `Bun.password.verify` shares its few threads
 * with the journal's writes. Measured on two cores: two verifications at once delayed a sync by 650
 * ms.
 */
export function createPasswordThread(): Verifier {
  const script = new URL('./password-worker.ts', import.meta.url).href
  const thread = createRequestThread<PasswordCheck, boolean>({
    ...{ name: 'password thread', script, isBackground: true },
  })
  return { verify: (secret, hash) => thread.request({ secret, hash }), close: thread.close }
}

export type PasswordCheck = { secret: string; hash: string }

const tooMany = () =>
  new OAuthError('temporarily_unavailable', 'too many logins at once, try again shortly', 2)
