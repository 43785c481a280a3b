import { describe, expect, test } from 'bun:test'
import { type Spillway, startSpillway } from '../../support/spillway.ts'
import { type Answer, post } from './support.ts'

const event = { type: 'page', name: 'n', ts: 1, app: 'a', release: '1', sessionId: 's' }

const send = (server: Spillway, forwardedFor?: string) =>
  post(
    `${server.url}/api/telemetry/events`,
    { ...event, id: crypto.randomUUID() },
    forwardedFor === undefined ? {} : { 'x-forwarded-for': forwardedFor },
  )

/** Sends 50 at a time. The limit comes back with the time, so that some more than it may pass. */
async function sendMany(server: Spillway, count: number, forwardedFor?: (index: number) => string) {
  const answers: Answer[] = []
  for (let sent = 0; sent < count; sent += 50) {
    const burst = Array.from({ length: 50 }, (_, index) =>
      send(server, forwardedFor?.(sent + index)),
    )
    answers.push(...(await Promise.all(burst)))
  }
  const refusals = answers.filter(({ status }) => status !== 200)
  return { taken: count - refusals.length, refusals }
}

const tooMany = { status: 429, body: { success: false, error: expect.any(String) } }

describe('telemetry', () => {
  test('takes 1000 requests a minute from an address, however it names itself', async () => {
    await using server = await startSpillway()
    const forwardedFor = (index: number) => `203.0.113.${index % 250}`
    const { taken, refusals } = await sendMany(server, 2000, forwardedFor)
    expect(taken).toBeGreaterThanOrEqual(1000)
    // 1000 a minute come back at 17 a second: a slow machine sees a few.
    expect(taken).toBeLessThan(1500)
    for (const refusal of refusals) {
      expect(Number(refusal.headers.get('retry-after'))).toBeGreaterThanOrEqual(1)
      expect(refusal).toMatchObject(tooMany)
    }
    // Other contracts from the same address are not touched by it.
    const link = await post(`${server.url}/api/events/track`, { event_type: 'click' })
    expect(link.status).toBe(201)
  }, 60_000)

  test('is not limited with RATE_TELEMETRY_PER_MINUTE=0', async () => {
    await using server = await startSpillway({ RATE_TELEMETRY_PER_MINUTE: '0' })
    const { taken } = await sendMany(server, 1100)
    expect(taken).toBe(1100)
  }, 60_000)
})

describe('behind a proxy that is trusted', () => {
  const limited = { RATE_TELEMETRY_PER_MINUTE: '3', TRUSTED_PROXIES: '127.0.0.0/8,10.0.0.0/8' }

  test('each client has its own limit, and only the last foreign hop counts', async () => {
    await using server = await startSpillway(limited)
    const ada = () => send(server, '203.0.113.7')
    for (let index = 0; index < 3; index += 1) expect((await ada()).status).toBe(200)
    expect(await ada()).toMatchObject(tooMany)
    // Whatever the client itself wrote in front changes nothing; nor does a second proxy of ours.
    expect(await send(server, '198.51.100.1, 203.0.113.7')).toMatchObject(tooMany)
    expect(await send(server, '1.2.3.4, 203.0.113.7, 10.0.0.9')).toMatchObject(tooMany)
    // Another client is free.
    expect((await send(server, '203.0.113.8')).status).toBe(200)
    const sql = 'SELECT DISTINCT ip FROM events ORDER BY ip'
    await server.stop()
    await server.start()
    expect(await server.query(sql)).toEqual([{ ip: '203.0.113.7' }, { ip: '203.0.113.8' }])
  }, 60_000)
})
