import { expect, test } from 'bun:test'
import { silentLog } from '../../../src/core/log.ts'
import { createDedup } from '../../../src/ingest/dedup/dedup.ts'
import { createRedisDedupKeys } from '../../../src/ingest/dedup/redis-markers.ts'
import { createDedupTable } from '../../../src/ingest/dedup/seen-table.ts'
import { createRedis } from '../../../src/redis/redis.ts'
import { redisCli } from '../../support/redis-cluster.ts'
import { until } from '../../support/until.ts'
import { toDedupKeys } from '../../unit/ingest/support.ts'
import { startRedis } from '../redis.ts'
import { startNode, useRedis } from './support.ts'

const services = useRedis()

test('a million events take 24 bytes each at most', async () => {
  const node = await startNode(services.server.url, 'million')
  const usedBytes = async () =>
    Number(/used_memory:(\d+)/.exec(await redisCli(services.server.url, 'info', 'memory'))?.[1])
  await node.shared.mark(toDedupKeys(1))
  const beforeBytes = await usedBytes()
  const random = Buffer.alloc(16 * 10_000)
  for (let count = 0; count < 1_000_000; count += 10_000) {
    const hex = crypto.getRandomValues(random).toString('hex')
    const dedupKeys = Array.from({ length: 10_000 }, (_, at) => hex.slice(at * 32, at * 32 + 32))
    await node.shared.mark(dedupKeys)
    if (count === 0) expect((await node.shared.find(dedupKeys)).every(Boolean)).toBe(true)
  }
  expect(node.redis.counts.failures).toBe(0)
  const bytesPerEvent = ((await usedBytes()) - beforeBytes) / 1_000_000
  expect(bytesPerEvent).toBeGreaterThan(8)
  expect(bytesPerEvent).toBeLessThan(24)
  await redisCli(services.server.url, 'flushall')
  await node.close()
}, 60_000)

test('while Redis is hung or stopped no event is lost or slow, and later it is used again', async () => {
  const own = await startRedis()
  const redis = createRedis({ url: own.url, prefix: 'away', timeoutMs: 50, log: silentLog })
  await redis.whenAvailable(5000)
  const shared = createRedisDedupKeys({ redis, now: Date.now })
  const table = createDedupTable({ bytesMax: 1024 * 1024, now: Date.now })
  const dedup = createDedup({ table, shared })
  let at = 0
  const send = async () => {
    at += 10
    const startMs = performance.now()
    const claim = await dedup.claim(toDedupKeys(10, at))
    await claim.commit()
    expect(claim.duplicates).toBe(0)
    return performance.now() - startMs
  }
  for (const [strike, mend] of [
    [own.pause, own.resume],
    [own.kill, own.restart],
  ] as const) {
    await strike()
    for (let count = 0; count < 20; count += 1) expect(await send()).toBeLessThan(1000)
    expect((await dedup.claim(toDedupKeys(10, at))).duplicates).toBe(10)
    await mend()
    await until(() => redis.isAvailable())
    await send()
    expect((await shared.find(toDedupKeys(10, at))).every(Boolean)).toBe(true)
  }
  redis.close()
  await dedup.close()
  await own.stop()
})

test('with one node of a cluster lost, requests continue without Redis', async () => {
  const node = await startNode(services.cluster.url, 'lost', { timeoutMs: 50 })
  await services.cluster.nodes[1]!.kill()
  for (let count = 0; count < 20; count += 1) {
    const startMs = performance.now()
    expect(await node.send(toDedupKeys(50, count * 50))).toBe(50)
    expect(performance.now() - startMs).toBeLessThan(1000)
  }
  expect(node.redis.isAvailable()).toBe(false)
  await services.cluster.nodes[1]!.restart()
  await until(() => node.redis.isAvailable(), { timeoutMs: 20_000, what: 'the whole cluster' })
  await node.close()
}, 40_000)
