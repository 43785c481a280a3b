import { afterAll, beforeAll, expect, test } from 'bun:test'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from '../../support/port.ts'
import { type Spillway, startSpillway } from '../../support/spillway.ts'
import { until } from '../../support/until.ts'
import { type RedisService, startRedis } from '../redis.ts'
import { senders } from './support.ts'

const patience = { timeoutMs: 30_000 }
let redis: RedisService
let server: Spillway

beforeAll(async () => {
  redis = await startRedis()
  server = await startSpillway({
    ...{ WORKERS: '2', SINKS: 'kafka', KAFKA_BROKERS: `127.0.0.1:${freePort()}` },
    ...{ REDIS_URL: redis.url, REDIS_PREFIX: crypto.randomUUID() },
    REALTIME_PORT: String(freePort()),
  })
  await until(() => server.log().includes('every process is ready'), patience)
}, 90_000)
afterAll(async () => {
  await server?.[Symbol.asyncDispose]()
  await redis?.stop()
})

/** A new connection each time, so that both workers get some. */
const anew = { connection: 'close' }

test('a worker that cannot answer another one goes on, and is named as missing', async () => {
  const seen = new Set<string>()
  let id = ''
  await until(async () => {
    id = (await senders.capture(server.url, anew)).requestId
    seen.add(id.split('-')[0]!)
    return seen.size === 2
  }, patience)
  // The search of the console opens the journal anew.
  rmSync(join(server.dataDir, 'worker-1', 'journal', 'identity'))
  await until(async () => {
    const url = `${server.url}/console/api/trace?id=${id}`
    const text = await (await fetch(url, { headers: anew })).text()
    return text.includes('worker-1 did not answer; its data is missing')
  }, patience)
  expect(server.log()).toContain('cannot answer another process')
  expect(server.log()).not.toContain('a process ended unexpectedly')
}, 60_000)
