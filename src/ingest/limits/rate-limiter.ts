import { BoundedKeyMap } from '../../core/bounded-key-map.ts'
import type { Clock } from '../../core/clock.ts'
import { toEarlyMs, toUsedUntilMs } from '../../core/gcra.ts'
import type { RedisHandle, RedisScript } from '../../redis/redis.ts'

/**
 * Limits each key to `perSecond` on average and `burst` at once (GCRA). With `shared` all nodes
 * count together: Redis is asked only about what this node alone would allow, and without Redis
 * each node counts for itself.
 */
export function createLimiter(options: LimiterOptions): Limiter {
  const { keysMax = 100_000, now, shared, ...defaultRate } = options
  const usedUntil = new BoundedKeyMap(keysMax)
  const startMs = now()

  function takeHere(key: string, { perSecond, burst }: Rate, cost: number): RateDecision {
    const nowMs = now() - startMs
    const intervalMs = 1000 / perSecond
    const untilMs = toUsedUntilMs(usedUntil.get(key) ?? 0, nowMs, cost * intervalMs)
    const earlyMs = toEarlyMs(untilMs, nowMs, burst * intervalMs)
    if (earlyMs > 0) return toLimited(earlyMs)
    usedUntil.set(key, untilMs)
    return allowed
  }

  return {
    take(key, { cost = 1, rate = defaultRate } = {}) {
      if (rate.perSecond <= 0) return allowed
      const decision = takeHere(key, rate, cost)
      if (!decision.allowed || shared === undefined || !shared.isAvailable()) return decision
      return shared
        .take(key, rate, cost)
        .then((earlyMs) => (earlyMs > 0 ? toLimited(earlyMs) : allowed))
    },
  }
}

/**
 * The same count in Redis, by the clock of Redis, so that the clocks of the nodes may differ.
 * `name` separates limiters.
 */
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

type Rate = {
  /** 0: no limit. */
  perSecond: number
  /** At least 1, and at least the largest cost. */
  burst: number
}

export type LimiterOptions = Rate & {
  /** Beyond this number the keys that were idle longest are forgotten. */
  keysMax?: number
  now: Clock
  shared?: SharedLimit | undefined
}

export type Limiter = {
  /** `rate` replaces the limiter's own rate, for example by that of a project. */
  take(key: string, options?: { cost?: number; rate?: Rate }): RateDecision | Promise<RateDecision>
}

export type RateDecision = { allowed: boolean; retryAfterSeconds: number }

export type SharedLimit = {
  isAvailable(): boolean
  /** 0 if allowed, otherwise the ms until it is. Never rejects: 0 if Redis does not answer. */
  take(key: string, rate: Rate, cost: number): Promise<number>
}

const allowed: RateDecision = Object.freeze({ allowed: true, retryAfterSeconds: 0 })

/** `Retry-After` takes whole seconds. */
function toLimited(earlyMs: number): RateDecision {
  return { allowed: false, retryAfterSeconds: Math.ceil(earlyMs / 1000) }
}

const takeScript: RedisScript = {
  name: 'spillwayTake',
  lua: `
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local next = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now) + ARGV[1]
local late = next - now - ARGV[2]
-- Smaller differences are rounding: a double holds this time to 0.25 microseconds.
if late > 0.01 then return math.ceil(late) end
redis.call('SET', KEYS[1], string.format('%.3f', next), 'PX', math.ceil(next - now))
return 0`,
}

/**
 * Selects the events of a hot key that leave their partition, and with it the order of the key:
 * those above `perSecond`, once `burst` is used up. Each node counts its own events. `perSecond` 0
 * turns it off.
 */
export function createOverflow({ perSecond, burst, keysMax = 100_000 }: OverflowOptions): Overflow {
  if (perSecond <= 0) return { isOver: () => false }
  const usedUntil = new BoundedKeyMap(keysMax)
  const intervalMs = 1000 / perSecond
  const burstMs = Math.max(1, burst) * intervalMs
  let startMs: number | undefined
  return {
    isOver(key, nowMs) {
      startMs ??= nowMs
      const sinceMs = nowMs - startMs
      const untilMs = toUsedUntilMs(usedUntil.get(key) ?? 0, sinceMs, intervalMs)
      if (toEarlyMs(untilMs, sinceMs, burstMs) > 0) return true
      usedUntil.set(key, untilMs)
      return false
    },
  }
}

export type OverflowOptions = Rate & {
  /** Beyond this number the keys that were idle longest are forgotten. */
  keysMax?: number
}

export type Overflow = {
  /** Counts one event of this key. Takes 0.1 µs. `nowMs` is the time of receipt. */
  isOver(key: string, nowMs: number): boolean
}
