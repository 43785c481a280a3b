import { expect, test } from 'bun:test'
import { startRedis } from '../services/redis.ts'
import { scrape } from '../support/metrics.ts'
import { startSpillway } from '../support/spillway.ts'
import { until } from '../support/until.ts'

const requests = 200

test('stops calling a hanging Redis, answers meanwhile, and calls it again when it is back', async () => {
  await using stack = new AsyncDisposableStack()
  const redis = stack.adopt(await startRedis(), (service) => service.stop())
  const server = stack.use(
    await startSpillway({
      REDIS_URL: redis.url,
      // Events stay in the journal: this ClickHouse does not exist.
      CLICKHOUSE_URL: 'http://127.0.0.1:1',
    }),
  )
  const post = async (uuid: string) => {
    const event = { event: 'e', distinct_id: 'u', uuid, properties: {} }
    const body = JSON.stringify({ api_key: 'phc_hung', batch: [event] })
    return (await fetch(`${server.url}/batch/`, { method: 'POST', body })).status
  }
  const count = async (name: string) => (await scrape(server.url))(name)
  expect(await post(crypto.randomUUID())).toBe(200)

  redis.pause()
  const beganMs = performance.now()
  const sent = Array.from({ length: requests }, () => crypto.randomUUID())
  for (const uuid of sent) expect(await post(uuid)).toBe(200)
  const hungSeconds = (performance.now() - beganMs) / 1000
  // Five failures in a row, the calls in flight at that moment, and one probe a second. Each request would make two calls.
  const failures = await count('spillway_redis_failures_total')
  expect(failures).toBeGreaterThanOrEqual(5)
  expect(failures).toBeLessThanOrEqual(7 + hungSeconds)
  const skipped = await count('spillway_redis_skipped_total')
  expect(skipped).toBeGreaterThanOrEqual(2 * requests - failures - 4)
  // This node’s own dedup table still recognises duplicates.
  for (const uuid of sent.slice(0, 20)) expect(await post(uuid)).toBe(200)
  expect(await count('spillway_events_duplicate_total')).toBe(20)
  expect(await count('spillway_events_accepted_total')).toBe(1 + requests)

  redis.resume()
  const isCalledAgain = async () => {
    const calls = await count('spillway_redis_calls_total')
    const before = await count('spillway_redis_failures_total')
    await post(crypto.randomUUID())
    const more = (await count('spillway_redis_calls_total')) - calls
    return more >= 2 && (await count('spillway_redis_failures_total')) === before
  }
  await until(isCalledAgain, { timeoutMs: 30_000, pauseMs: 100, what: 'Redis being called again' })
}, 120_000)
