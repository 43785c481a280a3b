import { afterAll, beforeAll, expect, test } from 'bun:test'
import { type Beside, sendBeside } from '../support/beside.ts'
import { scrape, toImbalances } from '../support/metrics.ts'
import type { Spillway } from '../support/spillway.ts'
import { until } from '../support/until.ts'
import { badBatch, eventsOf, startQuotas } from './quotas.ts'

let quotas: Awaited<ReturnType<typeof startQuotas>>
let server: Spillway
let beside: Beside
beforeAll(async () => {
  quotas = await startQuotas()
  server = quotas.server
  beside = await sendBeside(server)
}, 60_000)
afterAll(() => quotas?.[Symbol.asyncDispose]())

const sendBatch: typeof quotas.sendBatch = (...sent) => quotas.sendBatch(...sent)
const numberOf = async (sql: string) => (await server.query<{ n: number }>(sql))[0]?.n
const storedOf = (project: string, table = 'events') =>
  numberOf(`SELECT toUInt32(count()) AS n FROM ${table} WHERE project = '${project}'`)
/** Rows of a table are inserted in the order of the journal, so what was sent before is there, too. */
async function isDelivered(): Promise<void> {
  const name = crypto.randomUUID()
  await sendBatch('phc_beside', [
    ...eventsOf(1, { event: name }),
    ...eventsOf(1, { event: '', name }),
  ])
  const isStored = (table: string, where: string) =>
    until(() => numberOf(`SELECT toUInt32(count()) AS n FROM ${table} WHERE ${where}`))
  await isStored('events', `event = '${name}'`)
  await isStored('dead_letters', `project = 'phc_beside' AND position(raw, '${name}') > 0`)
}

test('40 batches in parallel cannot exceed a quota', async () => {
  // The connections are open before, so that all batches arrive together.
  const probes = Array.from({ length: 40 }, () => fetch(`${server.url}/_readiness`))
  await Promise.all((await Promise.all(probes)).map((response) => response.text()))
  const batches = Array.from({ length: 40 }, () => eventsOf(50))
  const answers = await Promise.all(batches.map((batch) => sendBatch('phc_parallel', batch)))
  expect(answers.every(({ status }) => status === 200)).toBe(true)
  const limited = answers.filter(({ body }) => 'quota_limited' in body)
  expect(limited).toHaveLength(39)
  await isDelivered()
  expect(await storedOf('parallel')).toBe(50)
})

test('a request of 20,000 bad events leaves 101 dead letters and a short reply', async () => {
  const { status, body } = await sendBatch('phc_bad', badBatch(20_000))
  expect(status).toBe(200)
  expect(body.rejected).toHaveLength(100)
  expect(body.rejected).toContainEqual({ index: 99, error: 'missing_event_name' })
  expect(body.rejected_count).toBe(20_000)
  await isDelivered()
  expect(await storedOf('bad')).toBe(1)
  expect(await storedOf('bad', 'dead_letters')).toBe(101)
  const [last] = await server.query<{ raw: string }>(
    `SELECT raw FROM dead_letters WHERE project = 'bad' AND reason = 'more_rejected'`,
  )
  expect(last).toEqual({ raw: '{"missing_event_name":19900}' })
})

test('dead letters use up the quota of their project', async () => {
  for (let count = 0; count < 5; count += 1)
    await sendBatch('phc_bad_limited', [...eventsOf(1), ...eventsOf(20, { event: '' })])
  await isDelivered()
  const events = (await storedOf('bad_limited')) ?? 0
  const letters = (await storedOf('bad_limited', 'dead_letters')) ?? 0
  expect(events + letters).toBe(30)
})

test('the balance holds, and a sender beside them loses nothing', async () => {
  const { acknowledged, failures } = await beside.end()
  expect(failures).toEqual([])
  expect(acknowledged).toBeGreaterThan(10)
  expect(toImbalances(await scrape(server.url), [])).toEqual({ intake: 0, commits: 0 })
})

test('a restart keeps what was charged, and nothing of what was only reserved', async () => {
  expect((await sendBatch('phc_parallel', eventsOf(1))).body).toHaveProperty('quota_limited')
  await server.stop()
  await server.start()
  expect((await sendBatch('phc_parallel', eventsOf(1))).body).toHaveProperty('quota_limited')
}, 60_000)
