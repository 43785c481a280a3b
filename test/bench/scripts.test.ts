import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { writePool } from '../../bench/pool.ts'
import { countRows, settle } from '../../bench/rows.ts'
import { scenarios } from '../../bench/scenarios.ts'
import { runWrk } from '../../bench/wrk.ts'
import { requireCommand } from '../services/install.ts'
import { type Spillway, startSpillway } from '../support/spillway.ts'

const poolPath = join(import.meta.dir, '../../bench/.pool/batch-gzip.bin')
let server: Spillway

beforeAll(async () => {
  await requireCommand('wrk', 'wrk')
  mkdirSync(join(poolPath, '..'), { recursive: true })
  if (!(await Bun.file(poolPath).exists())) await writePool(3000, () => {})
  server = await startSpillway({
    RATE_TELEMETRY_PER_MINUTE: '0',
    RATE_LINK_PER_MINUTE: '0',
    ACCESS_LOG: 'false',
  })
}, 120_000)
afterAll(async () => await server?.[Symbol.asyncDispose]())

const connections = 2

test.each(Object.entries(scenarios))(
  'the script %s gets replies, and all acknowledged events are stored',
  async (_, { script, eventsPerRequest, table }) => {
    const before = await countRows(server.queryUrl, table)
    const run = await runWrk({ url: server.url, script, seconds: 1, connections }, 'once')
    expect(run).toMatchObject({ errors: 0 })
    expect(run.requests).toBeGreaterThan(0)
    await settle(server.url)
    const stored = (await countRows(server.queryUrl, table)) - before
    expect(stored).toBeGreaterThanOrEqual(run.requests * eventsPerRequest)
    expect(stored).toBeLessThanOrEqual((run.requests + 2 * connections) * eventsPerRequest)
  },
  60_000,
)

test('a server that answers 503 gets the verdict FAIL', async () => {
  let count = 0
  const failing = Bun.serve({
    port: 0,
    fetch: () => new Response('', { status: count++ % 10 === 0 ? 503 : 200 }),
  })
  try {
    const { script } = scenarios.single!
    const url = failing.url.href
    const run = await runWrk({ url, script, seconds: 1, connections }, 'once')
    expect(run.passed).toBe(false)
    expect(run.errors).toBeGreaterThan(0)
  } finally {
    await failing.stop(true)
  }
}, 30_000)
