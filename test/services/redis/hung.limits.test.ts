import { afterAll, beforeAll, expect, test } from 'bun:test'
import { silentLog } from '../../../src/core/log.ts'
import { createLimiter, createSharedLimit } from '../../../src/ingest/limits/rate-limiter.ts'
import { createRedis, type RedisHandle } from '../../../src/redis/redis.ts'
import { type RedisCluster, startRedisCluster } from '../../support/redis-cluster.ts'
import { until } from '../../support/until.ts'
import { type RedisService, startRedis } from '../redis.ts'

let server: RedisService
let cluster: RedisCluster
beforeAll(async () => {
  server = await startRedis()
  cluster = await startRedisCluster()
}, 60_000)
afterAll(async () => {
  await server.stop()
  await cluster.stop()
})

/** The handles of two nodes, closed with the test. */
async function connectTwo(url: string, timeoutMs = 1000) {
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
const rate = { perSecond: 0.01, burst: 10 }

function createNode(redis: RedisHandle, name: string) {
  const shared = createSharedLimit({ redis, name })
  const limiter = createLimiter({ ...rate, now: Date.now, shared })
  return async (key: string, times: number) => {
    let allowed = 0
    for (let count = 0; count < times; count += 1)
      if ((await limiter.take(key)).allowed) allowed += 1
    return allowed
  }
}

test('with Redis hung each node limits for itself, and no request waits', async () => {
  using nodes = await connectTwo(server.url, 50)
  const takes = nodes.pair.map((redis) => createNode(redis, 'hung'))
  server.pause()
  const startMs = performance.now()
  expect(await Promise.all(takes.map((take) => take('a', 100)))).toEqual([10, 10])
  expect(performance.now() - startMs).toBeLessThan(2000)
  server.resume()
  await until(() => nodes.pair.every((redis) => redis.isAvailable()))
})
