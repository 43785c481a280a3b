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

/**
 * Sends 50 requests at a time. The limit refills over time, so a few more requests than the limit
 * may pass.
 */
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
  test('accepts 1000 requests a minute from an address, whatever its headers claim', async () => {
    await using server = await startSpillway()
    const forwardedFor = (index: number) => `203.0.113.${index % 250}`
    const { taken, refusals } = await sendMany(server, 2000, forwardedFor)
    expect(taken).toBeGreaterThanOrEqual(1000)
    // The limit refills by 17 requests a second, so a slow machine gets a few more.
    expect(taken).toBeLessThan(1500)
    for (const refusal of refusals) {
      expect(Number(refusal.headers.get('retry-after'))).toBeGreaterThanOrEqual(1)
      expect(refusal).toMatchObject(tooMany)
    }
    // The limit does not affect other contracts from the same address.
    const link = await post(`${server.url}/api/events/track`, { event_type: 'click' })
    expect(link.status).toBe(201)
  }, 60_000)

  test('is not limited with RATE_TELEMETRY_PER_MINUTE=0', async () => {
    await using server = await startSpillway({ RATE_TELEMETRY_PER_MINUTE: '0' })
    const { taken } = await sendMany(server, 1100)
    expect(taken).toBe(1100)
  }, 60_000)
})

describe('behind a trusted proxy', () => {
  const limited = { RATE_TELEMETRY_PER_MINUTE: '3', TRUSTED_PROXIES: '127.0.0.0/8,10.0.0.0/8' }

  test('each client has its own limit, and only the last untrusted hop counts', async () => {
    await using server = await startSpillway(limited)
    const ada = () => send(server, '203.0.113.7')
    for (let index = 0; index < 3; index += 1) expect((await ada()).status).toBe(200)
    expect(await ada()).toMatchObject(tooMany)
    // Hops that the client wrote itself do not matter, and neither does a second trusted proxy.
    expect(await send(server, '198.51.100.1, 203.0.113.7')).toMatchObject(tooMany)
    expect(await send(server, '1.2.3.4, 203.0.113.7, 10.0.0.9')).toMatchObject(tooMany)
    // Another client is not limited.
    expect((await send(server, '203.0.113.8')).status).toBe(200)
    const sql = 'SELECT DISTINCT ip FROM events ORDER BY ip'
    await server.stop()
    await server.start()
    expect(await server.query(sql)).toEqual([{ ip: '203.0.113.7' }, { ip: '203.0.113.8' }])
  }, 60_000)
})
