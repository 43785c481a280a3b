import { expect, setDefaultTimeout, test } from 'bun:test'
import { existsSync, mkdirSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { hasEnded } from '../../../src/core/process-end.ts'
import { freePort } from '../../support/port.ts'
import { type Spillway, startSpillway } from '../../support/spillway.ts'
import { until } from '../../support/until.ts'
import { startClickHouse } from '../clickhouse.ts'
import { run } from '../platform/support.ts'
import { startRedis } from '../redis.ts'

setDefaultTimeout(120_000)

const drain = (server: Spillway, ...args: string[]) =>
  run(['src/cli/drain.ts', ...args], { environment: { SPILLWAY_URL: server.url } })

async function send(server: Spillway): Promise<Response> {
  const body = JSON.stringify({ api_key: 'phc_drain', event: 'e', distinct_id: 'd' })
  return await fetch(`${server.url}/e/`, { method: 'POST', body })
}

const readiness = async (server: Spillway) => (await fetch(`${server.url}/_readiness`)).status
/** Of the server, of its workers and of their supervisor. */
const hasEndedAll = (server: Spillway) =>
  [...server.log().matchAll(/"pid":(\d+)/g)].every(([, pid]) => hasEnded(Number(pid)))
const last = (text: string) => text.trim().split('\n').at(-1)
/** Nothing listens there, so events for Kafka stay in the journal. */
const unreachable = { KAFKA_BROKERS: '127.0.0.1:1', SHUTDOWN_MS_MAX: '500' }

test('is unready for DRAIN_MS before the port closes, and takes events meanwhile', async () => {
  await using server = await startSpillway({ DRAIN_MS: '4000' })
  const startedMs = performance.now()
  const stopped = server.stop()
  await until(async () => (await readiness(server)) === 503, { what: 'readiness 503' })
  expect((await fetch(`${server.url}/_liveness`)).status).toBe(200)
  expect((await send(server)).status).toBe(200)
  expect(await stopped).toBe(0)
  expect(performance.now() - startedMs).toBeGreaterThanOrEqual(4000)
  expect(server.log()).toContain('"msg":"stopped; 0 events undelivered"')
})

test('drain waits for every sink, stops the server, and says so', async () => {
  await using server = await startSpillway({ CLICKHOUSE_FLUSH_MS: '60000' })
  for (let at = 0; at < 20; at += 1) expect((await send(server)).status).toBe(200)
  expect(hasEndedAll(server)).toBe(false)
  const { exitCode, output } = await drain(server, '--stop')
  // A backup that begins now copies complete files.
  expect(hasEndedAll(server)).toBe(true)
  expect(exitCode).toBe(0)
  expect(output).toContain('intake stopped, clickhouse lacks 0 events\n')
  expect(last(output)).toBe('stopped; 0 events undelivered')
  await until(() => last(server.log())?.includes('stopped; 0 events undelivered'))
})

test('drain shows the fault of a sink, and ends with code 3 at its time limit', async () => {
  await using server = await startSpillway(unreachable)
  expect((await send(server)).status).toBe(200)
  const limited = await drain(server, '--timeout', '3')
  expect(limited.exitCode).toBe(3)
  expect(limited.output).toMatch(/intake stopped, clickhouse lacks \d events, kafka lacks 1 events/)
  expect(last(limited.errors)).toBe(
    `not drained; 1 events undelivered; they stay in the journal in ${server.dataDir}`,
  )
  // The server stays, without taking events.
  expect(await readiness(server)).toBe(503)
  const refused = await send(server)
  expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '5'])
  const ended = await drain(server, '--timeout', '0', '--stop')
  expect(hasEndedAll(server)).toBe(true)
  expect([ended.exitCode, last(ended.errors)]).toEqual([
    3,
    `stopped; 1 events undelivered; they stay in the journal in ${server.dataDir}`,
  ])
  // The next start takes events again.
  await until(() => server.log().includes('stopped; 1 events undelivered'))
  await server.start()
  expect((await send(server)).status).toBe(200)
})

test('the server is not stopped by way of drain while it takes events', async () => {
  await using server = await startSpillway()
  const headers = { 'content-type': 'application/json' }
  const stop = await fetch(`${server.url}/console/api/stop`, {
    method: 'POST',
    headers,
    body: '{}',
  })
  expect(stop.status).toBe(409)
  expect(await stop.json()).toMatchObject({ error: 'not_draining' })
  expect((await send(server)).status).toBe(200)
})

test('drain covers all workers, and goes on when ClickHouse comes back', async () => {
  const [clickhouse, redis] = await Promise.all([startClickHouse(), startRedis()])
  try {
    await using server = await startSpillway({
      ...{ WORKERS: '2', CLICKHOUSE_URL: clickhouse.url, REDIS_URL: redis.url },
      ...{ REDIS_PREFIX: crypto.randomUUID(), REALTIME_PORT: String(freePort()) },
      DRAIN_MS: '1500',
    })
    await until(() => server.log().includes('every process is ready'), { timeoutMs: 30_000 })
    await clickhouse.kill()
    for (let at = 0; at < 20; at += 1) expect((await send(server)).status).toBe(200)
    const draining = drain(server, '--stop')
    await until(async () => (await readiness(server)) === 503, { timeoutMs: 30_000 })
    await clickhouse.restart()
    const { exitCode, output, errors } = await draining
    expect(hasEndedAll(server)).toBe(true)
    expect([exitCode, errors]).toEqual([0, ''])
    expect(output).toContain('unready, intake open, clickhouse lacks 20 events')
    expect(output).toMatch(/^intake stopped, clickhouse lacks \d+ events/m)
    expect(last(output)).toBe('stopped; 0 events undelivered')
    await until(() => last(server.log())?.includes('stopped; 0 events undelivered'))
  } finally {
    await Promise.all([clickhouse.stop(), redis.stop()])
  }
})

test('the last line of a stop names orphaned journals, and the exit code is 3', async () => {
  const away = { SINKS: 'kafka', KAFKA_BROKERS: '127.0.0.1:1', SHUTDOWN_MS_MAX: '200' }
  await using server = await startSpillway(away)
  expect((await send(server)).status).toBe(200)
  await until(() => existsSync(join(server.dataDir, 'state')), { what: 'the folder of cursors' })
  await server.kill()
  // As after WORKERS was lowered: the journal of a process that no longer runs.
  const orphan = join(server.dataDir, 'worker-3')
  mkdirSync(orphan)
  for (const name of ['journal', 'state'])
    renameSync(join(server.dataDir, name), join(orphan, name))
  await server.start()
  expect(await server.stop()).toBe(3)
  expect(last(server.log())).toContain(
    `stopped; 0 events undelivered; not counted are orphaned journals in ${orphan}, which`,
  )
})
