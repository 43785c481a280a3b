import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { shared } from '../services/shared.ts'
import { settle } from '../support/delivery.ts'
import { temporaryFolder } from '../support/folder.ts'
import { scrape } from '../support/metrics.ts'
import { type Spillway, startSpillway } from '../support/spillway.ts'
import { until } from '../support/until.ts'

setDefaultTimeout(120_000)

const projects = `
[[projects]]
id = "duplicates"
tokens = ["phc_duplicates"]
rate = { per_second = 1000, burst = 1000 }

[[projects]]
id = "rated"
tokens = ["phc_rated"]

[[projects]]
id = "counted"
tokens = ["phc_counted"]
rate = { per_second = 1000, burst = 1000 }
quotas.events = { max = 10, period = "month" }
`

const folder = temporaryFolder()
const prefix = `nodes${process.pid}`
const nodes: Spillway[] = []
let redis: Redis
beforeAll(async () => {
  const projectsPath = join(folder.path, 'projects.toml')
  writeFileSync(projectsPath, projects)
  const [redisUrl, clickhouseUrl] = await Promise.all([shared.redis(), shared.clickhouse()])
  redis = new Redis(redisUrl)
  const environment = {
    CLICKHOUSE_URL: `${clickhouseUrl}/${prefix}`,
    REDIS_URL: redisUrl,
    REDIS_PREFIX: prefix,
    // A slow reply of Redis on a busy machine must not count as a failure: the node would then
    // continue without Redis.
    REDIS_TIMEOUT_MS: '10000',
    PROJECTS_FILE: projectsPath,
    // The rate is so low that the burst hardly refills during the test.
    RATE_CAPTURE_PER_SECOND: '1',
    RATE_CAPTURE_BURST: '20',
  }
  nodes.push(await startSpillway(environment), await startSpillway(environment))
})
afterAll(async () => {
  for (const node of nodes) await node[Symbol.asyncDispose]()
  redis?.disconnect()
  folder[Symbol.dispose]()
})

const post = (node: Spillway, body: object) =>
  fetch(`${node.url}/batch/`, { method: 'POST', body: JSON.stringify(body) })

function makeBatch(token: string, count: number) {
  const batch = Array.from({ length: count }, (_, index) => ({
    event: 'bought',
    uuid: crypto.randomUUID(),
    distinct_id: `user-${index}`,
    properties: { index },
  }))
  return { api_key: token, batch }
}

const numberOf = async (node: Spillway, name: string) =>
  (await scrape(node.url))(`spillway_events_${name}_total`)

test('drops a duplicate on the other node, at once and after a restart', async () => {
  const [one, other] = nodes as [Spillway, Spillway]
  const batches = Array.from({ length: 20 }, () => makeBatch('phc_duplicates', 25))
  for (const batch of batches) {
    expect((await post(one, batch)).status).toBe(200)
    expect((await post(other, batch)).status).toBe(200)
  }
  expect(await numberOf(one, 'accepted')).toBe(500)
  expect([await numberOf(other, 'accepted'), await numberOf(other, 'duplicate')]).toEqual([0, 500])
  await one.kill()
  await one.start()
  for (const batch of batches) {
    expect((await post(other, batch)).status).toBe(200)
    expect((await post(one, batch)).status).toBe(200)
  }
  expect([await numberOf(one, 'accepted'), await numberOf(one, 'duplicate')]).toEqual([0, 500])
  await Promise.all([settle(one), settle(other)])
  const sql = "SELECT count() AS n, uniqExact(uuid) AS u FROM events WHERE project = 'duplicates'"
  expect(await one.query(sql)).toEqual([{ n: 500, u: 500 }])
})

test('two nodes share the rate of a token', async () => {
  const beganMs = performance.now()
  const statuses: number[] = []
  let retryAfter: string | null = null
  for (let request = 0; request < 60; request += 1) {
    const response = await post(nodes[request % 2]!, makeBatch('phc_rated', 1))
    statuses.push(response.status)
    retryAfter ??= response.headers.get('retry-after')
  }
  const refilled = Math.ceil((performance.now() - beganMs) / 1000)
  const accepted = statuses.filter((status) => status === 200).length
  expect(accepted).toBeGreaterThanOrEqual(20)
  expect(accepted).toBeLessThanOrEqual(20 + refilled)
  expect(statuses.filter((status) => status === 429).length).toBe(60 - accepted)
  expect(Number(retryAfter)).toBeGreaterThan(0)
})

test('two nodes share a quota', async () => {
  const [one, other] = nodes as [Spillway, Spillway]
  expect(await (await post(one, makeBatch('phc_counted', 6))).json()).toEqual({
    ...{ code: 1, status: 'ok' },
  })
  const hasCharged = async () => {
    const keys = await redis.keys(`${prefix}*quota*counted*`)
    return keys.length > 0 && (await redis.get(keys[0]!)) === '6'
  }
  await until(hasCharged, { what: 'the charge' })
  const droppedBefore = await numberOf(other, 'quota_dropped')
  const reply = await post(other, makeBatch('phc_counted', 6))
  expect(await reply.json()).toMatchObject({ code: 1, quota_limited: ['events'] })
  expect((await numberOf(other, 'quota_dropped')) - droppedBefore).toBe(2)
})
