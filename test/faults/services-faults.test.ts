import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { allWell, type Delivery, startDelivery } from '../support/delivery.ts'
import { scrape } from '../support/metrics.ts'
import { startTraffic } from '../support/traffic.ts'
import { until } from '../support/until.ts'

setDefaultTimeout(240_000)

let delivery: Delivery
beforeAll(async () => {
  delivery = await startDelivery()
})
afterAll(() => delivery?.[Symbol.asyncDispose]())

type Fault = { strike(): Promise<void> | void; mend(): Promise<void> | void }

const faults = {
  kafka: { strike: () => delivery.kafka.kill(), mend: () => delivery.kafka.restart() },
  redis: { strike: () => delivery.redis.kill(), mend: () => delivery.redis.restart() },
  clickhouse: {
    strike: () => delivery.clickhouse.kill(),
    mend: () => delivery.clickhouse.restart(),
  },
  server: { strike: () => delivery.server.kill(), mend: () => delivery.server.start() },
  hungRedis: { strike: () => delivery.redis.pause(), mend: () => delivery.redis.resume() },
  hungKafka: { strike: () => delivery.kafka.pause(), mend: () => delivery.kafka.resume() },
} satisfies Record<string, Fault>

test.each([
  { name: 'Kafka killed', struck: ['kafka'], current: 'clickhouse' },
  { name: 'Redis killed', struck: ['redis'], current: undefined },
  { name: 'Redis hung', struck: ['hungRedis'], current: undefined },
  { name: 'ClickHouse killed', struck: ['clickhouse'], current: 'kafka' },
  { name: 'the server killed', struck: ['server'], current: undefined },
  { name: 'Redis and ClickHouse killed', struck: ['redis', 'clickhouse'], current: 'kafka' },
  { name: 'ClickHouse and server killed', struck: ['clickhouse', 'server'], current: undefined },
  { name: 'Kafka hung, server killed', struck: ['hungKafka', 'server'], current: undefined },
] as const)(
  '$name: all that was acknowledged arrives, in order, once',
  async ({ name, struck, current }) => {
    const token = `phc_${name.replaceAll(/\W+/g, '_')}`
    const traffic = startTraffic({ url: delivery.server.url, clients: 4, token, pauseMs: 10 })
    const { acknowledged } = traffic.ledger
    const more = (count: number) => {
      const enough = acknowledged.size + count
      return until(() => acknowledged.size >= enough, { timeoutMs: 60_000, what: `${count} more` })
    }
    await more(300)
    await Promise.all(struck.map((one) => faults[one].strike()))
    if (!struck.some((one) => one === 'server')) {
      // Clients notice nothing; the operator does, and the sink that lives has what comes in.
      await more(500)
      await hasHealth('degraded')
      if (current) await becomesCurrent(current)
    }
    await Promise.all(struck.map((one) => faults[one].mend()))
    await more(300)
    await traffic.stop()
    await delivery.settle()
    expect(await delivery.verify(token, traffic.ledger)).toEqual(allWell)
    expect(acknowledged.size).toBe(traffic.ledger.sent.size)
    await hasHealth('ok')
  },
)

async function hasHealth(status: 'ok' | 'degraded'): Promise<void> {
  const isSo = async () => {
    const health = (await (await fetch(`${delivery.server.url}/health`)).json()) as typeof expected
    return health.status === status
  }
  const expected = { status }
  await until(isSo, { timeoutMs: 30_000, pauseMs: 50, what: `health ${status}` })
}

/** What was committed by now arrives at this sink, though the other one is dead. */
async function becomesCurrent(sink: 'clickhouse' | 'kafka'): Promise<void> {
  const { url } = delivery.server
  const counted = async (name: string, labels = {}) => (await scrape(url))(name, labels)
  const recovered = await counted('spillway_sink_recovered_total', { sink })
  const enough = recovered + (await counted('spillway_events_committed_total'))
  const isCurrent = async () => (await counted('spillway_sink_shipped_total', { sink })) >= enough
  await until(isCurrent, { timeoutMs: 30_000, pauseMs: 50, what: `a current ${sink}` })
  const other = sink === 'kafka' ? 'clickhouse' : 'kafka'
  expect(await counted('spillway_sink_waiting_events', { sink: other })).toBeGreaterThan(0)
}
