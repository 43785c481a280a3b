import { readFileSync } from 'node:fs'
import { open, rename } from 'node:fs/promises'
import type { Clock } from '../../core/clock.ts'
import type { Log } from '../../core/log.ts'
import type { RedisHandle, RedisScript } from '../../redis/redis.ts'
import type { Charge, QuotaStore } from './quotas.ts'

/**
 * Quota counts of a single node, in one small file. It is replaced atomically, so it is never half
 * written.
 */
export function createQuotaFile({ path, now, log, everyMs = 1000 }: QuotaFileOptions): QuotaStore {
  let totals = loadTotals(path, log)
  let saving = Promise.resolve()
  return {
    everyMs,
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

/** If saving fails, the counts remain valid until the process ends. */
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
    log.error(
      { path, error: String(error) },
      'cannot save quota counts: a restart would forget them',
    )
  }
}

function loadTotals(path: string, log: Log): Map<string, Total> {
  try {
    return new Map(Object.entries(JSON.parse(readFileSync(path, 'utf8')) as Record<string, Total>))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
      log.error({ path, error: String(error) }, 'cannot read quota counts: they start at zero')
    return new Map()
  }
}

/**
 * Quota counts in Redis, shared by all nodes. If a reply is lost the increment is retried: it may
 * be counted twice, never lost.
 */
export function createSharedQuota({ redis, everyMs = 200 }: SharedQuotaOptions): QuotaStore {
  return {
    everyMs,
    async add(charges) {
      const totals = new Array<number | undefined>(charges.length).fill(undefined)
      await redis.run(async (commands) => {
        await Promise.all(
          charges.map(async ({ key, count, endMs }, at) => {
            const args = [count, toExpiry(endMs)]
            totals[at] = Number(await commands.script(addScript, `quota:${key}`, args))
          }),
        )
      }, undefined)
      return totals
    },
    async take({ key, count, endMs }, max) {
      const args = [count, max, toExpiry(endMs)]
      const answer = await redis.run<unknown>(
        (commands) => commands.script(takeScript, `quota:${key}`, args),
        undefined,
      )
      if (answer === undefined) return undefined
      const [granted, total] = (answer as unknown[]).map(Number)
      return { granted: granted ?? 0, total: total ?? 0 }
    },
  }
}

export type SharedQuotaOptions = { redis: RedisHandle; everyMs?: number }

/** A node whose clock is slow may still charge a period that has ended. */
const graceSeconds = 3600
const toExpiry = (endMs: number) => Math.ceil(endMs / 1000) + graceSeconds

const addScript: RedisScript = {
  name: 'spillwayCharge',
  lua: `
if ARGV[1] == '0' then return redis.call('GET', KEYS[1]) or 0 end
local total = redis.call('INCRBY', KEYS[1], ARGV[1])
redis.call('EXPIREAT', KEYS[1], ARGV[2])
return total`,
}

const takeScript: RedisScript = {
  name: 'spillwayReserve',
  lua: `
local total = tonumber(redis.call('GET', KEYS[1]) or 0)
local granted = math.max(0, math.min(tonumber(ARGV[1]), tonumber(ARGV[2]) - total))
if granted > 0 then
  total = redis.call('INCRBY', KEYS[1], granted)
  redis.call('EXPIREAT', KEYS[1], ARGV[3])
end
return { granted, total }`,
}
