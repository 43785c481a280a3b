import type { RedisHandle, RedisScript } from '../../redis/redis.ts'
import type { Rate } from './rate-limiter.ts'

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
