import { afterAll, beforeAll, expect, test } from 'bun:test'
import { until } from '../../support/until.ts'
import { type RedisService, startRedis } from '../redis.ts'
import { openHandle } from './support.ts'

let server: RedisService
beforeAll(async () => {
  server = await startRedis()
}, 60_000)
afterAll(() => server.stop())

async function msOf(work: () => Promise<unknown>): Promise<number> {
  const startMs = performance.now()
  await work()
  return performance.now() - startMs
}

test('hung: five calls wait 50 ms at most, further calls do not wait, and the handle recovers', async () => {
  using opened = await openHandle(server.url)
  const { redis, say } = opened
  server.pause()
  const tookMs = await msOf(async () => {
    for (let count = 0; count < 300; count += 1) expect(await say('x')).toBe('otherwise')
  })
  expect(tookMs).toBeLessThan(1000)
  expect(redis.counts).toEqual({ calls: 5, failures: 5, skipped: 295 })
  server.resume()
  await until(async () => (await say('again')) === 'again')
})

test('hung with a thousand concurrent calls: all continue after the time of one', async () => {
  using opened = await openHandle(server.url)
  server.pause()
  const many = Array.from({ length: 1000 }, () => opened.say('x'))
  expect(await msOf(() => Promise.all(many))).toBeLessThan(1000)
  expect(new Set(await Promise.all(many))).toEqual(new Set(['otherwise']))
  server.resume()
  await until(async () => (await opened.say('again')) === 'again')
})
