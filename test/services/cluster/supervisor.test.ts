import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from '../../support/folder.ts'
import { logLines } from '../../support/log-lines.ts'
import { readMetrics } from '../../support/metrics.ts'
import { freePort } from '../../support/port.ts'
import { nothingWrong, reconcile, type Stored } from '../../support/reconcile.ts'
import { type Spillway, startSpillway } from '../../support/spillway.ts'
import { startTraffic, type Traffic } from '../../support/traffic.ts'
import { until } from '../../support/until.ts'
import { type ClickHouseService, startClickHouse } from '../clickhouse.ts'
import { type RedisService, startRedis } from '../redis.ts'

const root = join(import.meta.dir, '../../..')
const patience = { timeoutMs: 60_000 }
let clickhouse: ClickHouseService
let redis: RedisService

beforeAll(async () => {
  ;[clickhouse, redis] = await Promise.all([startClickHouse(), startRedis()])
}, 60_000)
afterAll(async () => {
  await Promise.all([clickhouse?.stop(), redis?.stop()])
})

type Line = { msg: string; port?: number; pid?: number; process?: string }

/** A node with WORKERS and real services, with its own Redis prefix. */
const toEnvironment = (workers: number): Record<string, string> => ({
  WORKERS: String(workers),
  CLICKHOUSE_URL: clickhouse.url,
  REDIS_URL: redis.url,
  REDIS_PREFIX: crypto.randomUUID(),
  REALTIME_PORT: String(freePort()),
  ACCESS_LOG: 'false',
})

const linesOf = (server: Spillway) => logLines<Line>(server)

/** Workers, in the order of their starts. */
const workersOf = (server: Spillway) =>
  linesOf(server).flatMap(({ msg, pid }) => (msg === 'listening' ? [pid!] : []))

const isUp = (server: Spillway, times = 1) =>
  linesOf(server).filter(({ msg }) => msg === 'every process is ready').length >= times

async function settle(traffic: Traffic, stored: () => Promise<Stored[]>): Promise<Stored[]> {
  await traffic.stop()
  const { acknowledged } = traffic.ledger
  await until(async () => (await stored()).length >= acknowledged.size, patience)
  return await stored()
}

const metricOf = async (server: Spillway, name: string) => {
  const text = await readMetrics(server.url)
  const lines = text.split('\n').filter((line) => line.startsWith(name))
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0)
}

/** FINAL: a duplicate that another worker received may be stored as a second row with the same uuid. */
const storedBy = (server: Spillway) =>
  server.query<Stored>('SELECT uuid, properties FROM events FINAL')

describe('WORKERS', () => {
  test('restarts a worker killed under load without losing acknowledged events', async () => {
    await using server = await startSpillway(toEnvironment(3))
    await until(() => isUp(server), patience)
    const traffic = startTraffic({ url: server.url })
    for (const victim of [0, 1, 2]) {
      const enough = traffic.ledger.acknowledged.size + 300
      await until(() => traffic.ledger.acknowledged.size >= enough, patience)
      process.kill(workersOf(server)[victim]!, 'SIGKILL')
      await until(() => workersOf(server).length === 4 + victim, patience)
    }
    const rows = await settle(traffic, () => storedBy(server))
    expect(reconcile(traffic.ledger, rows)).toEqual(nothingWrong)
    expect(await metricOf(server, 'spillway_process_restarts_total')).toBe(3)
  }, 120_000)

  test('delivers orphaned journals after WORKERS is lowered', async () => {
    const own = await startClickHouse()
    const environment = toEnvironment(3)
    Object.assign(environment, { CLICKHOUSE_URL: own.url, SHUTDOWN_MS_MAX: '200' })
    try {
      await using server = await startSpillway(environment)
      await until(() => isUp(server), patience)
      await own.kill()
      const traffic = startTraffic({ url: server.url })
      await until(() => traffic.ledger.acknowledged.size >= 500, patience)
      await traffic.stop()
      await server.stop()
      const journals = readdirSync(server.dataDir).filter((name) => name.startsWith('worker-'))
      expect(journals.sort()).toEqual(['worker-0', 'worker-1', 'worker-2'])

      await own.restart()
      environment.WORKERS = '1'
      await server.start()
      const rows = await settle(traffic, () => storedBy(server))
      expect(reconcile(traffic.ledger, rows)).toEqual(nothingWrong)
      const isGone = (name: string) => !existsSync(join(server.dataDir, name, 'journal'))
      await until(() => journals.every(isGone), patience)
    } finally {
      await own.stop()
    }
  }, 120_000)

  test('every worker returns the metrics of all, and totals do not fall when a worker ends', async () => {
    await using server = await startSpillway(toEnvironment(3))
    await until(() => isUp(server), patience)
    const count = 40
    for (let index = 0; index < count; index += 1) await post(server, index)
    const received = () => metricOf(server, 'spillway_events_received_total{contract="capture"}')
    const readings = await Promise.all(Array.from({ length: 12 }, received))
    expect(readings).toEqual(Array.from({ length: 12 }, () => count))
    for (const pid of workersOf(server)) process.kill(pid, 'SIGKILL')
    await until(() => workersOf(server).length === 6, patience)
    const ready = () => metricOf(server, 'spillway_processes_ready').catch(() => 0)
    await until(async () => (await ready()) === 4, patience)
    expect(await received()).toBe(count)
  }, 60_000)

  test('serves Socket.IO on its own port, which the HTTP port names', async () => {
    const environment = toEnvironment(2)
    await using server = await startSpillway(environment)
    await until(() => isUp(server), patience)
    const path = '/socket.io/?EIO=4&transport=polling'
    const there = await fetch(`http://127.0.0.1:${environment.REALTIME_PORT}${path}`)
    expect(there.status).toBe(200)
    expect(await there.text()).toStartWith('0{"sid":')
    // Every worker returns the metrics of the realtime process, too.
    expect(await metricOf(server, 'spillway_realtime_connections_total')).toBe(1)
    expect(await metricOf(server, 'spillway_realtime_cluster_failures_total')).toBe(0)
    const here = await fetch(`${server.url}${path}`)
    expect(here.status).toBe(404)
    expect(await here.text()).toContain(`port ${environment.REALTIME_PORT}`)
    const sdk = await (await fetch(`${server.url}/api/sdk/config`)).text()
    expect(sdk).toContain(`127.0.0.1:${environment.REALTIME_PORT}`)
  }, 60_000)

  test.each([
    ['no services', {}, ['WORKERS=2 needs CLICKHOUSE_URL', 'WORKERS=2 needs REDIS_URL']],
    ['no Redis', { CLICKHOUSE_URL: 'http://127.0.0.1:1' }, ['WORKERS=2 needs REDIS_URL']],
    [
      'a worker that cannot start',
      {
        CLICKHOUSE_URL: 'http://127.0.0.1:1',
        REDIS_URL: 'redis://127.0.0.1:1',
        AUTH_KEYS_FILE: '/none',
      },
      ['/none holds no signing keys', 'ended with 1 before it served'],
    ],
  ])(
    'refuses to start with %s',
    async (_, environment, words) => {
      using folder = temporaryFolder()
      const child = Bun.spawn([process.execPath, join(root, 'src/main.ts')], {
        env: { WORKERS: '2', PORT: '0', REALTIME_PORT: '0', DATA_DIR: folder.path, ...environment },
        stdout: 'ignore',
        stderr: 'pipe',
      })
      const said = await child.stderr.text()
      expect(await child.exited).toBe(words[0]!.startsWith('WORKERS') ? 78 : 1)
      for (const word of words) expect(said).toContain(word)
    },
    30_000,
  )

  test('workers stop in order when their supervisor is killed', async () => {
    await using server = await startSpillway(toEnvironment(2))
    await until(() => isUp(server), patience)
    await server.kill()
    const isGone = (pid: number) => !existsSync(`/proc/${pid}`)
    await until(() => workersOf(server).every(isGone), patience)
    const stops = linesOf(server).filter(({ msg }) => msg?.startsWith('stopped;')).length
    expect(stops).toBe(2)
  }, 60_000)
})

async function post({ url }: Spillway, index: number): Promise<void> {
  const event = { event: 'e', distinct_id: `${index}`, api_key: 'phc_test' }
  // A new connection for each request, so that the kernel spreads them over the workers.
  const response = await fetch(`${url}/e`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', connection: 'close' },
    body: JSON.stringify(event),
  })
  if (response.status !== 200) throw new Error(await response.text())
}
