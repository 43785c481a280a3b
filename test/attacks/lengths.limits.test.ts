import { expect, test } from 'bun:test'
import { gzipSync } from 'node:zlib'
import { expectUndisturbed, sendBeside } from '../support/beside.ts'
import { memoryOf } from '../support/intake.ts'
import { startSpillway } from '../support/spillway.ts'

const mib = 1024 * 1024

test('150 link events with texts of 18 MB take no memory', async () => {
  // The attack has an address of its own, because the server may hold back an address.
  await using server = await startSpillway({
    TRUSTED_PROXIES: '127.0.0.1',
    ADMIN_TOKEN: 'token-of-operators',
  })
  const headers = { 'x-forwarded-for': '203.0.113.66' }
  const bodies = ['event_type', 'city', 'event_attributes'].map((field) => {
    const text = 'x'.repeat(18 * mib)
    const value = field === 'event_attributes' ? { text } : text
    return gzipSync(JSON.stringify({ event_type: 'click', [field]: value }))
  })
  // About 2.7 MB in all.
  const body = (index: number) => bodies[index % bodies.length]!
  const memory = memoryOf(server.pid())
  memory.reset()
  const beside = await sendBeside(server)
  const statuses = new Map<number, number>()
  for (let sent = 0; sent < 150; sent += 5) {
    const burst = Array.from({ length: 5 }, async (_, index) => {
      const sending = { method: 'POST', body: body(sent + index), headers }
      const { status } = await fetch(`${server.url}/api/events/track`, sending)
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
    })
    await Promise.all(burst)
  }
  await expectUndisturbed(beside)
  // 429: the server holds back an address whose bodies cost it too much.
  expect([...statuses.keys()].filter((status) => status !== 400 && status !== 429)).toEqual([])
  expect(statuses.get(400)).toBeGreaterThan(0)
  expect(memoryOf(server.pid()).peakBytes - memory.nowBytes).toBeLessThan(400 * mib)
  expect(await server.query('SELECT 1 FROM link_events')).toEqual([])
}, 120_000)
