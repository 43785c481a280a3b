import { createHmac, randomBytes } from 'node:crypto'
import { OAuthError } from './oauth-error.ts'
import type { Verifier } from './password-thread.ts'

export type Secrets = {
  /**
   * Whether the secret is the one that was hashed. Without a hash it takes as long and answers false, so that
   * the time tells nobody who exists. Throws OAuthError `temporarily_unavailable` when too many wait.
   */
  verify(secret: string, hash: string | undefined): Promise<boolean>
  /** How many verifications wait or run. */
  waiting(): number
  close(): void
}

/** A hash of random bytes that were thrown away: nothing matches it, at the usual cost. */
const nobodysHash =
  '$argon2id$v=19$m=65536,t=2,p=1$iQpxWpZdGdpXlF0LOUSpNjlWBZu5ZEDwUDz5T/nh6WE$Y/MTp4oWg3nIhh+SUFjyVkZtL7oYvwfSVK3vZH+M4FY'

/** At some 100 ms each the last in line waits three seconds: longer than that nobody does. */
const waitingMaxDefault = 32
const rememberedMaxDefault = 1000

/**
 * Verifies secrets one after the other, with a bounded line. A pair that matched is remembered, as a digest under
 * a key that dies with the process: a fleet that reconnects with one client secret pays for it once.
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

  function verify(secret: string, hash = nobodysHash): Promise<boolean> {
    const pair = createHmac('sha256', digestKey).update(`${hash}\n${secret}`).digest('base64')
    if (matched.has(pair)) return Promise.resolve(true)
    const alreadyRunning = running.get(pair)
    if (alreadyRunning) return alreadyRunning
    if (running.size >= waitingMax) return Promise.reject(tooMany())
    const outcome = settle(pair, secret, hash)
    running.set(pair, outcome)
    return outcome
  }

  async function settle(pair: string, secret: string, hash: string): Promise<boolean> {
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

  return { verify, waiting: () => running.size, close: () => verifier.close() }
}

const tooMany = () =>
  new OAuthError('temporarily_unavailable', 'too many logins at once, try again shortly', 2)
