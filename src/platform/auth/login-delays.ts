import { createHmac, randomBytes } from 'node:crypto'
import type { Clock } from '../../core/clock.ts'
import { OAuthError } from './token-request.ts'

/** One attempt to prove an identity, such as a login. */
export type Attempt = {
  /** Address, or /64, that the attempt comes from. */
  sender: string
  /** Throws OAuthError `rate_limited` while the sender must wait. */
  check(): void
  failed(): void
  succeeded(): void
}

/** An account that attempts count for. `failuresFree` failures of one sender cause no delay. */
export type Account = { name: string; failuresFree: number; delaySecondsMax: number }

export type LoginDelays = {
  /** A success forgets the sender's failures on the first account only. */
  attempt(sender: string, accounts: readonly Account[]): Attempt
}

/** A sender's failures on an account are forgotten this long after the last one. */
const memoryMs = 3_600_000
/** More failures than this from all senders together mean that the account is under attack. */
const calmFailuresMax = 50
const entriesMaxDefault = 50_000

/**
 * Delays that grow with the failures of one sender on one account: 1 s, 2 s, 4 s and so on. Never by
 * the account alone: a stranger could then lock its owner out. But once an account is under attack
 * from many senders, each of them waits from its first failure on, and longer the more failures
 * there were.
 */
export function createLoginDelays({
  now,
  entriesMax = entriesMaxDefault,
}: {
  now: Clock
  entriesMax?: number
}): LoginDelays {
  const nameKey = randomBytes(16)
  const bySender = new RecentFailures({ now, entriesMax })
  const byAccount = new RecentFailures({ now, entriesMax })
  /** Users type passwords into the field of the name, so names are kept as digests only. */
  const toKey = (text: string) =>
    createHmac('sha256', nameKey).update(text).digest('base64').slice(0, 22)

  function toDelaySeconds(failures: number, ofAccount: number, account: Account): number {
    const isAttacked = ofAccount > calmFailuresMax
    const exponent = isAttacked
      ? failures + Math.floor(Math.log2(ofAccount / calmFailuresMax))
      : failures - account.failuresFree - 1
    return exponent < 0 ? 0 : Math.min(2 ** exponent, account.delaySecondsMax)
  }

  return {
    attempt(sender, accounts) {
      const keyed = accounts.map((account) => ({
        account,
        ofAccount: toKey(account.name),
        ofSender: toKey(`${sender} ${account.name}`),
      }))
      return {
        sender,
        check() {
          const untilMs = Math.max(...keyed.map(({ ofSender }) => bySender.untilMs(ofSender)))
          const seconds = Math.ceil((untilMs - now()) / 1000)
          if (seconds > 0)
            throw new OAuthError('rate_limited', 'too many failed attempts, wait', seconds)
        },
        failed() {
          for (const { account, ofAccount, ofSender } of keyed) {
            const total = byAccount.add(ofAccount)
            const seconds = toDelaySeconds(bySender.add(ofSender), total, account)
            bySender.wait(ofSender, now() + seconds * 1000)
          }
        },
        succeeded() {
          if (keyed[0]) bySender.forget(keyed[0].ofSender)
        },
      }
    },
  }
}

type Failures = { count: number; lastMs: number; untilMs: number }

/** Counts by key. When it is full, the key that failed least recently is dropped. */
class RecentFailures {
  readonly #entries = new Map<string, Failures>()
  readonly #now: Clock
  readonly #entriesMax: number

  constructor({ now, entriesMax }: { now: Clock; entriesMax: number }) {
    this.#now = now
    this.#entriesMax = entriesMax
  }

  /** Returns the new count. */
  add(key: string): number {
    const nowMs = this.#now()
    const known = this.#entries.get(key)
    const count = known && nowMs - known.lastMs < memoryMs ? known.count + 1 : 1
    this.#entries.delete(key)
    const [oldest] = this.#entries.keys()
    if (this.#entries.size >= this.#entriesMax && oldest !== undefined) this.#entries.delete(oldest)
    this.#entries.set(key, { count, lastMs: nowMs, untilMs: 0 })
    return count
  }

  wait(key: string, untilMs: number): void {
    const entry = this.#entries.get(key)
    if (entry) entry.untilMs = untilMs
  }

  untilMs(key: string): number {
    return this.#entries.get(key)?.untilMs ?? 0
  }

  forget(key: string): void {
    this.#entries.delete(key)
  }
}
