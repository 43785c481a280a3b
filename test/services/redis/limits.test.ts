import { describe, expect, test } from 'bun:test'
import type { Project } from '../../../src/core/protocol.ts'
import { createSharedQuota } from '../../../src/ingest/limits/quota-stores.ts'
import { createQuotas, type Quotas } from '../../../src/ingest/limits/quotas.ts'
import { createLimiter, createSharedLimit } from '../../../src/ingest/limits/rate-limiter.ts'
import { redisCli } from '../../support/redis-cluster.ts'
import { until } from '../../support/until.ts'
import { connectTwo, createNode, rate, useRedis } from './support.ts'

const services = useRedis()

describe.each([
  ['one Redis', () => services.server.url],
  ['a Redis Cluster', () => services.cluster.url],
])('on %s', (_, url) => {
  test('two nodes share one rate limit per key', async () => {
    using nodes = await connectTwo(url())
    const [one, other] = nodes.pair.map((redis) => createNode(redis, 'shared')) as [Take, Take]
    expect([await one('a', 6), await other('a', 20), await one('a', 1)]).toEqual([6, 4, 0])
    expect(await other('b', 20)).toBe(10)
  })

  test('two nodes share one quota', async () => {
    using nodes = await connectTwo(url())
    const [one, other] = nodes.pair.map((redis) =>
      createQuotas({ store: createSharedQuota({ redis, everyMs: 5 }), now: Date.now }),
    ) as [ReturnType<typeof createQuotas>, ReturnType<typeof createQuotas>]
    const asked = Array.from({ length: 40 }, (_, index) =>
      (index % 2 === 0 ? one : other).reserve(shop, 'events', 50),
    )
    const grants = await Promise.all(asked)
    expect(grants.reduce((sum, { count }) => sum + count, 0)).toBe(1000)
    // Of 20 requests, 10 fail, and their events are free again.
    const granted = grants.filter(({ count }) => count > 0)
    for (const [index, grant] of granted.entries()) grant.settle(index < 10 ? 0 : grant.count)
    await until(async () => (await leftOf(one)) === 500)
    await until(async () => (await leftOf(other)) === 500)
    await Promise.all([one.close(), other.close()])
  })
})

type Take = ReturnType<typeof createNode>

/** What is left: reserves everything and gives it back. */
async function leftOf(quotas: Quotas, project = shop): Promise<number> {
  const { count, settle } = await quotas.reserve(project, 'events', 1_000_000)
  settle(0)
  return count
}

const shop: Project = {
  id: 'shop',
  origins: undefined,
  rate: undefined,
  quotas: { events: { max: 1000, period: 'day' } },
}

test('limiters with different names count separately', async () => {
  using nodes = await connectTwo(services.server.url)
  const [one, other] = nodes.pair
  expect(await createNode(one, 'tokens')('a', 20)).toBe(10)
  expect(await createNode(other, 'addresses')('a', 20)).toBe(10)
})

test('the retry time of a node includes what the other node took', async () => {
  using nodes = await connectTwo(services.server.url)
  const [one, other] = nodes.pair
  await createNode(one, 'later')('a', 10)
  const shared = createSharedLimit({ redis: other, name: 'later' })
  const limiter = createLimiter({ ...rate, now: Date.now, shared })
  const { allowed, retryAfterSeconds } = await limiter.take('a')
  expect(allowed).toBe(false)
  expect(retryAfterSeconds).toBeGreaterThan(90)
  expect(retryAfterSeconds).toBeLessThanOrEqual(100)
})

test('Redis forgets limits that are idle, and quotas after their period', async () => {
  using nodes = await connectTwo(services.server.url)
  const [redis] = nodes.pair
  await createNode(redis, 'expiry')('a', 1)
  const seconds = Number(await redisCli(services.server.url, 'ttl', 'limits:rate:expiry:a'))
  expect(seconds).toBeGreaterThan(90)
  expect(seconds).toBeLessThanOrEqual(100)
  const quota = createSharedQuota({ redis })
  const endMs = Date.now() + 60_000
  expect(await quota.add([{ key: 'k', count: 3, endMs }])).toEqual([3])
  expect(await quota.add([{ key: 'k', count: 0, endMs }])).toEqual([3])
  expect(Number(await redisCli(services.server.url, 'ttl', 'limits:quota:k'))).toBeGreaterThan(3600)
  expect(Number(await redisCli(services.server.url, 'ttl', 'limits:quota:k'))).toBeLessThan(3700)
})
test('stores charges made while Redis is unavailable once it is back', async () => {
  using nodes = await connectTwo(services.server.url, 200)
  const [redis] = nodes.pair
  const store = createSharedQuota({ redis, everyMs: 5 })
  const quotas = createQuotas({ store, now: Date.now })
  await services.server.kill()
  await until(() => !redis.isAvailable())
  const project = { ...shop, id: 'away' }
  ;(await quotas.reserve(project, 'events', 7)).settle(7)
  expect(await leftOf(quotas, project)).toBe(993)
  await services.server.restart()
  const total = async () =>
    (await redisCli(services.server.url, 'keys', '*quota:events:away*')) !== ''
  await until(total)
  await until(async () => (await leftOf(quotas, project)) === 993)
  await quotas.close()
})
