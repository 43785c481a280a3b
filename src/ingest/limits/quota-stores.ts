import { readFileSync } from 'node:fs'
import { open, rename } from 'node:fs/promises'
import type { Clock } from '../../core/clock.ts'
import type { Log } from '../../core/log.ts'
import type { RedisHandle, RedisScript } from '../../redis/redis.ts'
import type { Charge, QuotaStore } from './quotas.ts'

/** Quota counts of a single node in one small file, replaced as a whole, so that it is never half written. */
export function createQuotaFile({ path, now, log, everyMs = 1000 }: QuotaFileOptions): QuotaStore {
  let totals = loadTotals(path, log)
  let saving = Promise.resolve()
  return {
    everyMs,
    isShared: false,
    async add(charges) {
      const nowMs = now()
      totals = new Map([...totals].filter(([, { endMs }]) => nowMs < endMs))
      const added = charges.map((charge) => addTo(totals, charge))
      if (charges.every(({ count }) => count === 0)) return added
      saving = saving.then(() => save(path, totals, log))
      await saving
      return added
    },
  }
}

export type QuotaFileOptions = { path: string; now: Clock; log: Log; everyMs?: number }

type Total = { total: number; endMs: number }

function addTo(totals: Map<string, Total>, { key, count, endMs }: Charge): number {
  const total = (totals.get(key)?.total ?? 0) + count
  totals.set(key, { total, endMs })
  return total
}

/** A count that cannot be saved still counts, until the process ends. */
async function save(path: string, totals: Map<string, Total>, log: Log): Promise<void> {
  try {
    const file = await open(`${path}.new`, 'w')
    try {
      await file.writeFile(JSON.stringify(Object.fromEntries(totals)))
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(`${path}.new`, path)
  } catch (error) {
    log.error({ path, error: String(error) }, 'quota counts cannot be saved')
  }
}

function loadTotals(path: string, log: Log): Map<string, Total> {
  try {
    return new Map(Object.entries(JSON.parse(readFileSync(path, 'utf8')) as Record<string, Total>))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
      log.error({ path, error: String(error) }, 'quota counts cannot be read and start at zero')
    return new Map()
  }
}

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
