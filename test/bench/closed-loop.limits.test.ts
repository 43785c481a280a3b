import { expect, test } from 'bun:test'
import { runWrk } from '../../bench/wrk.ts'
import { requireCommand } from '../services/install.ts'
import { scrape } from '../support/metrics.ts'
import { startSpillway } from '../support/spillway.ts'

const clientsMax = 512
/** Half of the wait that the server allows: other work on the machine may take the rest. */
const queueSeconds = 0.06

test('refuses none of 512 clients, or of as many as the machine serves in time', async () => {
  await requireCommand('wrk', 'wrk')
  await using server = await startSpillway({ OVERFLOW_PER_SECOND: '0' })
  const run = (connections: number) =>
    runWrk({ url: server.url, script: 'single.lua', seconds: 5, connections }, 'once')
  // Fewer than 65 requests in flight are never refused.
  const first = await run(64)
  const perSecond = first.requests / first.seconds
  const clients = Math.min(clientsMax, Math.max(65, Math.floor(perSecond * queueSeconds)))
  const { requests, errors, p95_ms } = await run(clients)
  expect(requests).toBeGreaterThan(clients)
  expect(errors).toBe(0)
  expect((await scrape(server.url))('spillway_intake_shed_total')).toBe(0)
  expect(p95_ms).toBeLessThan(200)
}, 60_000)
