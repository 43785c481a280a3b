import type { Clock } from '../../core/clock.ts'
import type { RedisHandle, RedisScript } from '../../redis/redis.ts'
import { RecentKeys } from './bounded-key-map.ts'

const roundingMs = 1e-6

/**
 * Limits how often each key may come: `perSecond` in the long run, `burst` at once. A key is one number, the time at
 * which all it has taken so far would be used up at the steady rate (GCRA). With `shared` the nodes count together; what
 * this node alone refuses is not even asked, and without Redis each counts for itself.
 */
export function createLimiter({
  keysMax = 100_000,
  now,
  shared,
  ...byDefault
}: LimiterOptions): Limiter {
  const usedUpMs = new RecentKeys(keysMax)
  // Small numbers: in milliseconds since 1970 a double cannot hold the interval of a fast key.
  const startMs = now()

  function takeHere(key: string, { perSecond, burst }: Rate, cost: number): Verdict {
    const nowMs = now() - startMs
    const intervalMs = 1000 / perSecond
    const nextMs = Math.max(usedUpMs.get(key) ?? 0, nowMs) + cost * intervalMs
    const lateMs = nextMs - nowMs - burst * intervalMs
    if (lateMs > roundingMs) return toRefusal(lateMs)
    usedUpMs.set(key, nextMs)
    return allowed
  }

  return {
    take(key, { cost = 1, rate = byDefault } = {}) {
      if (rate.perSecond <= 0) return allowed
      const verdict = takeHere(key, rate, cost)
      if (!verdict.allowed || shared === undefined || !shared.isAvailable()) return verdict
      return shared
        .take(key, rate, cost)
        .then((lateMs) => (lateMs > 0 ? toRefusal(lateMs) : allowed))
    },
  }
}

export type Rate = {
  /** 0 = no limit. */
  perSecond: number
  /** At least 1, and at least the largest cost. */
  burst: number
}

export type LimiterOptions = Rate & {
  /** Beyond these the keys that were idle longest start afresh. */
  keysMax?: number
  now: Clock
  shared?: SharedLimit | undefined
}

export type Limiter = {
  /** `rate` stands in for the limiter's own, such as a project's. */
  take(key: string, options?: { cost?: number; rate?: Rate }): Verdict | Promise<Verdict>
}

export type Verdict = { allowed: boolean; retryAfterSeconds: number }

const allowed: Verdict = Object.freeze({ allowed: true, retryAfterSeconds: 0 })

/** Whole seconds, as `Retry-After` wants them. */
function toRefusal(lateMs: number): Verdict {
  return { allowed: false, retryAfterSeconds: Math.ceil(lateMs / 1000) }
}

/** The limiter's count in Redis, by its clock, so that the nodes' own need not agree. `name` tells limiters apart. */
export function createSharedLimit({
  redis,
  name,
}: {
  redis: RedisHandle
  name: string
}): SharedLimit {
  return {
    isAvailable: () => redis.mayCall(),
    async take(key, { perSecond, burst }, cost) {
      const args = [(cost * 1000) / perSecond, (burst * 1000) / perSecond]
      const take = redis.run(
        (commands) => commands.script(takeScript, `rate:${name}:${key}`, args),
        0,
      )
      return Number(await take)
    },
  }
}

export type SharedLimit = {
  isAvailable(): boolean
  /** 0, or the milliseconds that the key is too early. Never rejects: without Redis it is 0. */
  take(key: string, rate: Rate, cost: number): Promise<number>
}

const takeScript: RedisScript = {
  name: 'spillwayTake',
  lua: `
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local next = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now) + ARGV[1]
local late = next - now - ARGV[2]
-- Less is rounding: a double holds the time to a quarter of a microsecond.
if late > 0.01 then return math.ceil(late) end
redis.call('SET', KEYS[1], string.format('%.3f', next), 'PX', math.ceil(next - now))
return 0`,
}
