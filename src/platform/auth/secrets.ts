import { createHmac, randomBytes } from 'node:crypto'
import { createRequestThread } from '../../core/worker-thread.ts'
import type { Attempt } from './login-delays.ts'
import { OAuthError } from './token-request.ts'

export type Secrets = {
  /**
   * The hash of the first pair that matches; undefined if none does. Counts the failure of the
   * attempt before the next verification begins. Throws OAuthError `rate_limited` while the sender
   * must wait, and `temporarily_unavailable` when the queue is full.
   */
  verify(pairs: readonly PasswordCheck[], attempt: Attempt): Promise<string | undefined>
  close(): void
}

/** Compares a secret with its argon2id hash. False for a hash that cannot be parsed. */
export type Verifier = {
  verify(secret: string, hash: string): Promise<boolean>
  close(): void
}

export type PasswordCheck = { secret: string; hash: string }

/** A verification takes about 100 ms, so the last in the queue waits about 3 s. */
const waitingMaxDefault = 32
const rememberedMaxDefault = 1000

type Job = {
  pairs: readonly PasswordCheck[]
  attempt: Attempt
  outcome: PromiseWithResolvers<string | undefined>
}

/**
 * Verifies secrets one after the other. The queue is bounded, and fair: the senders take turns, and
 * when it is full the sender with the most jobs loses its last one. It remembers a pair that matched,
 * as a digest under a key that exists in this process only: a fleet that reconnects with one client
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
  const running = new Map<string, Promise<string | undefined>>()
  const queue = createFairQueue<Job>()
  let isWorking = false

  const toDigest = (pairs: readonly PasswordCheck[]) => {
    const hmac = createHmac('sha256', digestKey)
    for (const { secret, hash } of pairs) hmac.update(`${hash}\n${secret.length}\n${secret}`)
    return hmac.digest('base64')
  }

  async function verify(
    pairs: readonly PasswordCheck[],
    attempt: Attempt,
  ): Promise<string | undefined> {
    // Also before a remembered pair: otherwise a sender that must wait could go on guessing.
    attempt.check()
    const known = pairs.find((pair) => matched.has(toDigest([pair])))
    if (known) {
      attempt.succeeded()
      return known.hash
    }
    const digest = toDigest(pairs)
    const alreadyRunning = running.get(digest)
    if (alreadyRunning) return await alreadyRunning
    const outcome = enqueue(pairs, attempt)
    running.set(digest, outcome)
    try {
      return await outcome
    } finally {
      running.delete(digest)
    }
  }

  function enqueue(pairs: readonly PasswordCheck[], attempt: Attempt) {
    const job: Job = { pairs, attempt, outcome: Promise.withResolvers() }
    const dropped = queue.size < waitingMax ? undefined : queue.dropFor(attempt.sender)
    if (queue.size >= waitingMax) return Promise.reject(tooMany())
    dropped?.outcome.reject(tooMany())
    queue.add(attempt.sender, job)
    if (!isWorking) void work()
    return job.outcome.promise
  }

  async function work(): Promise<void> {
    isWorking = true
    for (let job = queue.next(); job; job = queue.next()) {
      try {
        job.outcome.resolve(await run(job))
      } catch (error) {
        job.outcome.reject(error)
      }
    }
    isWorking = false
  }

  async function run({ pairs, attempt }: Job): Promise<string | undefined> {
    // The sender may have failed while this job waited.
    attempt.check()
    for (const pair of pairs) {
      if (!(await verifier.verify(pair.secret, pair.hash))) continue
      remember(toDigest([pair]))
      attempt.succeeded()
      return pair.hash
    }
    attempt.failed()
    return undefined
  }

  function remember(digest: string): void {
    const [oldest] = matched
    if (matched.size >= rememberedMax && oldest !== undefined) matched.delete(oldest)
    matched.add(digest)
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

/**
 * A hash of random bytes with the parameters of `hash`. No secret matches it, and a verification
 * takes as long as with `hash`.
 */
export function toDecoyHash(hash: string): string {
  return hash.replace(/\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$/, (_, salt: string, digest: string) =>
    [salt, digest].map((part) => `$${toRandom(part.length)}`).join(''),
  )
}

/** `length` characters of base64 without padding, as a whole number of bytes encodes to. */
const toRandom = (length: number) =>
  randomBytes(Math.floor((length * 3) / 4))
    .toString('base64')
    .replace(/=+$/, '')

/** Items by sender. `next` takes one item of each sender in turn. */
function createFairQueue<T>() {
  /** The sender whose turn is next comes first. */
  const bySender = new Map<string, T[]>()
  let size = 0
  return {
    get size() {
      return size
    },
    add(sender: string, item: T): void {
      const items = bySender.get(sender)
      if (items) items.push(item)
      else bySender.set(sender, [item])
      size += 1
    },
    next(): T | undefined {
      for (const [sender, items] of bySender) {
        bySender.delete(sender)
        if (items.length > 1) bySender.set(sender, items.slice(1))
        size -= 1
        return items[0]
      }
      return undefined
    },
    /** Removes the last item of the sender with the most, if `sender` would still have fewer. */
    dropFor(sender: string): T | undefined {
      const own = bySender.get(sender)?.length ?? 0
      let longest: T[] = []
      for (const items of bySender.values()) if (items.length > longest.length) longest = items
      if (longest.length <= own + 1) return undefined
      size -= 1
      return longest.pop()
    },
  }
}

const tooMany = () =>
  new OAuthError('temporarily_unavailable', 'too many logins at once, try again shortly', 2)
