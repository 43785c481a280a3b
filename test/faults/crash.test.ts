import { expect, test } from 'bun:test'
import { nothingWrong, reconcile, type Stored } from '../support/reconcile.ts'
import { startSpillway } from '../support/spillway.ts'
import { startTraffic } from '../support/traffic.ts'
import { until } from '../support/until.ts'

const killsMin = 12

test('stores acknowledged events exactly once across kill -9', async () => {
  await using server = await startSpillway()
  const traffic = startTraffic({ url: server.url })
  for (let kill = 0; kill < killsMin; kill += 1) {
    const before = traffic.ledger.acknowledged.size
    // A random moment, so that kills hit inserts, syncs and replays.
    const enough = before + 50 + Math.floor(Math.random() * 1500)
    await until(() => traffic.ledger.acknowledged.size >= enough, { timeoutMs: 30_000 })
    await server.kill()
    await server.start()
  }
  await traffic.stop()
  const { ledger } = traffic
  const rowsOf = () => server.query<Stored>('SELECT uuid, properties FROM events')
  await until(async () => (await rowsOf()).length >= ledger.acknowledged.size, {
    timeoutMs: 30_000,
  })

  expect(reconcile(ledger, await rowsOf())).toEqual(nothingWrong)
  expect(ledger.acknowledged.size).toBe(ledger.sent.size)
}, 240_000)
