import { afterAll, beforeAll } from 'bun:test'
import type { DedupKey } from '../../../src/core/event.ts'
import { silentLog } from '../../../src/core/log.ts'
import { createDedup } from '../../../src/ingest/dedup/dedup.ts'
import { createRedisDedupKeys } from '../../../src/ingest/dedup/redis-markers.ts'
import { createDedupTable } from '../../../src/ingest/dedup/seen-table.ts'
import { createLimiter, createSharedLimit } from '../../../src/ingest/limits/rate-limiter.ts'
import { createRedis, type RedisHandle } from '../../../src/redis/redis.ts'
import { type RedisCluster, startRedisCluster } from '../../support/redis-cluster.ts'
import { type RedisService, startRedis } from '../redis.ts'

/** A Redis and a Redis Cluster for the tests of a file. Read them inside of tests only. */
export function useRedis() {
  const services = {} as { server: RedisService; cluster: RedisCluster }
  beforeAll(async () => {
    services.server = await startRedis()
    services.cluster = await startRedisCluster()
  }, 60_000)
  afterAll(async () => {
    await services.server?.stop()
    await services.cluster?.stop()
  })
  return services
}

/** One node: its own memory, and the Redis that it shares with others under `prefix`. */
export async function startNode(
  url: string,
  prefix: string,
  { now = Date.now, timeoutMs = 1000 } = {},
) {
  const redis = createRedis({ url, prefix, timeoutMs, log: silentLog })
  await redis.whenAvailable(5000)
  const shared = createRedisDedupKeys({ redis, now })
  const table = createDedupTable({ bytesMax: 1024 * 1024, now })
  const dedup = createDedup({ table, shared })
  return {
    redis,
    shared,
    dedup,
    async send(dedupKeys: readonly DedupKey[]): Promise<number> {
      const claim = await dedup.claim(dedupKeys)
      await claim.commit()
      return dedupKeys.length - claim.duplicates
    },
    async close() {
      redis.close()
      await dedup.close()
    },
  }
}

/** The handles of two nodes, closed with the test. */
export async function connectTwo(url: string, timeoutMs = 1000) {
  const connect = async () => {
    const redis = createRedis({ url, prefix: 'limits', timeoutMs, log: silentLog })
    await redis.whenAvailable(5000)
    return redis
  }
  const pair = [await connect(), await connect()] as const
  const close = () => pair.map((redis) => redis.close())
  return { pair, [Symbol.dispose]: close }
}

/** So slow that nothing becomes available again during a test. */
export const rate = { perSecond: 0.01, burst: 10 }

export function createNode(redis: RedisHandle, name: string) {
  const shared = createSharedLimit({ redis, name })
  const limiter = createLimiter({ ...rate, now: Date.now, shared })
  return async (key: string, times: number) => {
    let allowed = 0
    for (let count = 0; count < times; count += 1)
      if ((await limiter.take(key)).allowed) allowed += 1
    return allowed
  }
}

const echo = { name: 'testEcho', lua: 'return ARGV[1]' }

/** A handle that notes its log lines. */
export async function openHandle(url: string, { waitMs = 2000, deadMs = 5000 } = {}) {
  const lines: string[] = []
  const note = (fields: object, message: string) =>
    lines.push(`${message} ${JSON.stringify(fields)}`)
  const log = { ...silentLog, info: note, warn: note, error: note }
  const redis = createRedis({ url, prefix: 'test', timeoutMs: 50, deadMs, log })
  await redis.whenAvailable(waitMs)
  const say = (word: string) =>
    redis.run((commands) => commands.script(echo, 'any', [word]), 'otherwise')
  return { redis, lines, say, [Symbol.dispose]: () => redis.close() }
}
