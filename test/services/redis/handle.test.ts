import { afterAll, beforeAll, expect, test } from 'bun:test'
import { silentLog } from '../../../src/core/log.ts'
import { createRedis, createRedisStreams, type RedisHandle } from '../../../src/redis/redis.ts'
import { redisCli } from '../../support/redis-cluster.ts'
import { until } from '../../support/until.ts'
import { type RedisService, startRedis } from '../redis.ts'
import { openHandle } from './support.ts'

let server: RedisService
beforeAll(async () => {
  server = await startRedis()
}, 60_000)
afterAll(() => server.stop())

const fault = { name: 'testFault', lua: 'return redis.call("NOSUCH")' }

test('runs scripts and plain commands under the prefix', async () => {
  using opened = await openHandle(server.url)
  const { redis, say } = opened
  expect(await say('hello')).toBe('hello')
  await redis.require((commands) => commands.set('key', 'value', 60_000))
  expect(await redis.run((commands) => commands.get('key'), null)).toBe('value')
  expect(await redisCli(server.url, 'get', 'test:key')).toBe('value')
  await redis.require((commands) => commands.delete('key'))
  expect(await redis.run((commands) => commands.get('key'), 'otherwise')).toBeNull()
})

test('returns `otherwise` on an error of Redis, and counts the failure', async () => {
  using opened = await openHandle(server.url)
  const { redis } = opened
  expect(await redis.run((commands) => commands.script(fault, 'any', []), 'otherwise')).toBe(
    'otherwise',
  )
  expect(redis.counts).toEqual({ calls: 1, failures: 1, skipped: 0 })
  expect(redis.isAvailable()).toBe(true)
})

test('killed and restarted: no call waits, and the handle reconnects', async () => {
  using opened = await openHandle(server.url)
  const { redis, say, lines } = opened
  await server.kill()
  await until(() => !redis.isAvailable())
  const { calls } = redis.counts
  expect(await say('x')).toBe('otherwise')
  expect(redis.counts.calls).toBe(calls)
  await expect(redis.require((commands) => commands.get('key'))).rejects.toThrow(
    'Redis is not available',
  )
  await server.restart()
  await until(async () => (await say('again')) === 'again')
  expect(lines.map((line) => line.split(/[{:]/)[0]!.trim())).toEqual([
    'Redis is available',
    'Redis is not available',
    'Redis is available',
  ])
})
test('closes a connection that hangs for long, with the calls queued on it', async () => {
  using opened = await openHandle(server.url, { deadMs: 200 })
  server.pause()
  await opened.say('x')
  expect(opened.lines).toHaveLength(1)
  await until(() => opened.lines[1]?.includes('Redis is not available'))
  server.resume()
  await until(async () => (await opened.say('again')) === 'again')
})

test('a reply that waits behind a busy event loop is not late', async () => {
  using opened = await openHandle(server.url)
  const reply = opened.say('here')
  const untilMs = performance.now() + 150
  while (performance.now() < untilMs);
  expect(await reply).toBe('here')
})

test('waits no longer than asked for a Redis that was never reachable', async () => {
  const redis = createRedis({
    url: 'redis://127.0.0.1:1',
    prefix: 'test',
    timeoutMs: 50,
    log: silentLog,
  })
  expect(await redis.whenAvailable(20)).toBe(false)
  expect(await redis.run((commands) => commands.get('key'), 'otherwise')).toBe('otherwise')
  redis.close()
})

test('logs a wrong password as a failure, without the password', async () => {
  await using locked = Object.assign(await startRedis(), {
    [Symbol.asyncDispose]: () => locked.stop(),
  })
  await redisCli(locked.url, 'config', 'set', 'requirepass', 'right')
  using opened = await openHandle(locked.url.replace('redis://', 'redis://:s3cret@'), {
    waitMs: 100,
  })
  expect(opened.redis.isAvailable()).toBe(false)
  await until(() => opened.lines.length > 0)
  expect(opened.lines.join()).toContain('Redis is not available')
  expect(opened.lines.join()).not.toContain('s3cret')
})

test('streams: a reader blocks without delaying the writer, and reconnects after a restart', async () => {
  const streams = createRedisStreams({ url: server.url, timeoutMs: 1000 })
  const add = () => streams.call('XADD', ['stream', '*', 'field', 'value'])
  await until(() => add().catch(() => undefined))
  const reader = streams.connectReader()
  const read = () => reader.call('XREAD', ['BLOCK', 5000, 'STREAMS', 'stream', '$'])
  const first = read()
  await until(async () => Number(await redisCli(server.url, 'info', 'clients').then(toBlocked)) > 0)
  await add()
  expect(JSON.stringify(await first)).toContain('value')
  await server.restart()
  const second = read()
  await until(async () => Number(await redisCli(server.url, 'info', 'clients').then(toBlocked)) > 0)
  await until(() => add().catch(() => undefined))
  expect(JSON.stringify(await second)).toContain('value')
  reader.close()
  streams.close()
})

const toBlocked = (info: string) => /blocked_clients:(\d+)/.exec(info)?.[1] ?? '0'

test('a closed handle does not reconnect', async () => {
  const { redis } = await openHandle(server.url)
  const handle: RedisHandle = redis
  handle.close()
  expect(await handle.run((commands) => commands.get('key'), 'otherwise')).toBe('otherwise')
})
