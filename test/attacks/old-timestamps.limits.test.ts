import { expect, setDefaultTimeout, test } from 'bun:test'
import { type Spillway, startSpillway } from '../support/spillway.ts'
import { until } from '../support/until.ts'

// `sendHonest` is the honest sender: it also waits until its event is in ClickHouse.

setDefaultTimeout(180_000)

/** Every month from 1970 to 2025, whatever the clock of this machine says. */
const months = 56 * 12
const toIso = (month: number) => new Date(Date.UTC(1970, month, 2)).toISOString()

const replyMsMax = 300
const visibleMsMax = 5_000

async function post(server: Spillway, path: string, body: object): Promise<void> {
  const reply = await fetch(`${server.url}${path}`, { method: 'POST', body: JSON.stringify(body) })
  expect({ path, ok: reply.ok }).toEqual({ path, ok: true })
}

/** One small event: the time until its reply, and until it is in ClickHouse. */
async function sendHonest(server: Spillway): Promise<{ replyMs: number; visibleMs: number }> {
  const startMs = performance.now()
  const uuid = crypto.randomUUID()
  const event = { event: 'paid', distinct_id: 'honest', uuid }
  await post(server, '/capture', { api_key: 'phc_honest', ...event })
  const replyMs = performance.now() - startMs
  const sql = `SELECT 1 FROM events WHERE uuid = '${uuid}'`
  const isVisible = async () => (await server.query(sql)).length === 1
  await until(isVisible, { timeoutMs: 60_000, pauseMs: 50, what: 'an honest event' })
  return { replyMs, visibleMs: performance.now() - startMs }
}

async function attack(server: Spillway, name: string): Promise<void> {
  const batch = Array.from({ length: months }, (_, month) => ({
    ...{ event: 'old', distinct_id: 'd', uuid: crypto.randomUUID(), timestamp: toIso(month) },
  }))
  await post(server, '/batch', { api_key: name, batch })
  const telemetry = batch.map(({ timestamp }, index) => ({
    ...{ id: `t-${index}`, type: 'custom', name: 'old', ts: Date.parse(timestamp), app: name },
    ...{ release: '1', sessionId: 's' },
  }))
  await post(server, '/api/telemetry/events', telemetry)
  for (let month = 0; month < months; month += 12) {
    const link = { event_type: 'click', event_time: toIso(month), project_id: name }
    await post(server, '/api/events/track', link)
  }
}

test('672 months in one batch make few parts, and delay no other sender', async () => {
  await using server = await startSpillway()
  await sendHonest(server)
  const attacking = Promise.all(['phc_a', 'phc_b'].map((name) => attack(server, name)))
  const seen: Awaited<ReturnType<typeof sendHonest>>[] = []
  for (let n = 0; n < 8; n += 1) seen.push(await sendHonest(server))
  await attacking

  const sql = `SELECT count() AS rows, uniqExact(toYYYYMM(timestamp)) AS months FROM events
WHERE event = 'old'`
  const isStored = async () => Number((await server.query<{ rows: number }>(sql))[0]!.rows) > 0
  await until(isStored, { timeoutMs: 60_000, what: 'events of the attack' })
  const read = async () => {
    const [row] = await server.query<{ rows: number; months: number }>(sql)
    return { rows: Number(row!.rows), months: Number(row!.months) }
  }
  const expected = { rows: 4 * months, months }
  await until(async () => (await read()).rows >= expected.rows, { timeoutMs: 60_000 })
  expect(await read()).toEqual(expected)
  const [parts] = await server.query<{ parts: number | string }>(
    `SELECT count() AS parts FROM system.parts WHERE active AND table IN ('events', 'link_events')`,
  )
  // One part an insert, before merges.
  expect(Number(parts!.parts)).toBeLessThan(100)
  expect(Math.max(...seen.map(({ replyMs }) => replyMs))).toBeLessThan(replyMsMax)
  expect(Math.max(...seen.map(({ visibleMs }) => visibleMs))).toBeLessThan(visibleMsMax)
})
