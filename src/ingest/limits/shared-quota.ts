import type { RedisHandle, RedisScript } from '../../redis/redis.ts'
import type { QuotaStore } from './quotas.ts'

/** Quota counts that all nodes share. A count whose reply is lost is added again: rather too much than for nothing. */
export function createSharedQuota({ redis, everyMs = 200 }: SharedQuotaOptions): QuotaStore {
  return {
    everyMs,
    isShared: true,
    async add(charges) {
      const totals = new Array<number | undefined>(charges.length).fill(undefined)
      await redis.run(async (commands) => {
        await Promise.all(
          charges.map(async ({ key, count, endMs }, at) => {
            const args = [count, Math.ceil(endMs / 1000) + graceSeconds]
            totals[at] = Number(await commands.script(addScript, `quota:${key}`, args))
          }),
        )
      }, undefined)
      return totals
    },
  }
}

export type SharedQuotaOptions = { redis: RedisHandle; everyMs?: number }

/** A node whose clock is behind still charges the period that is over. */
const graceSeconds = 3600

const addScript: RedisScript = {
  name: 'spillwayCharge',
  lua: `
if ARGV[1] == '0' then return redis.call('GET', KEYS[1]) or 0 end
local total = redis.call('INCRBY', KEYS[1], ARGV[1])
redis.call('EXPIREAT', KEYS[1], ARGV[2])
return total`,
}
