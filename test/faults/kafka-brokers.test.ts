import { expect, test } from 'bun:test'
import { allWell, startDelivery } from '../support/delivery.ts'
import { startTraffic } from '../support/traffic.ts'
import { until } from '../support/until.ts'

test('loses no event and keeps the order while one of two brokers is down', async () => {
  await using delivery = await startDelivery({ brokers: 2 })
  const { server, kafka } = delivery
  const token = 'phc_brokers'
  const traffic = startTraffic({ url: server.url, clients: 4, token, pauseMs: 10 })
  const { acknowledged } = traffic.ledger
  const more = (count: number) => {
    const enough = acknowledged.size + count
    return until(() => acknowledged.size >= enough, { timeoutMs: 60_000, what: `${count} more` })
  }
  await more(500)
  await kafka.nodes[1]!.kill()
  await more(1000)
  await kafka.nodes[1]!.restart()
  await more(500)
  await traffic.stop()
  await delivery.settle()
  expect(await delivery.verify(token, traffic.ledger)).toEqual(allWell)
  expect(acknowledged.size).toBe(traffic.ledger.sent.size)
}, 240_000)
