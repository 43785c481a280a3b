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

type Fault = { begin(): Promise<void> | void; end(): Promise<void> | void }

const faults = {
  kafka: { begin: () => delivery.kafka.kill(), end: () => delivery.kafka.restart() },
  redis: { begin: () => delivery.redis.kill(), end: () => delivery.redis.restart() },
  clickhouse: {
    begin: () => delivery.clickhouse.kill(),
    end: () => delivery.clickhouse.restart(),
  },
  server: { begin: () => delivery.server.kill(), end: () => delivery.server.start() },
  hungRedis: { begin: () => delivery.redis.pause(), end: () => delivery.redis.resume() },
  hungKafka: { begin: () => delivery.kafka.pause(), end: () => delivery.kafka.resume() },
} satisfies Record<string, Fault>

test.each([
  { name: 'Kafka killed', failed: ['kafka'], current: 'clickhouse' },
  { name: 'Redis killed', failed: ['redis'], current: undefined },
  { name: 'Redis hung', failed: ['hungRedis'], current: undefined },
  { name: 'ClickHouse killed', failed: ['clickhouse'], current: 'kafka' },
  { name: 'the server killed', failed: ['server'], current: undefined },
  { name: 'Redis and ClickHouse killed', failed: ['redis', 'clickhouse'], current: 'kafka' },
  { name: 'ClickHouse and server killed', failed: ['clickhouse', 'server'], current: undefined },
  { name: 'Kafka hung, server killed', failed: ['hungKafka', 'server'], current: undefined },
] as const)(
  '$name: every acknowledged event arrives once and in order',
  async ({ name, failed, current }) => {
    const token = `phc_${name.replaceAll(/\W+/g, '_')}`
    const traffic = startTraffic({ url: delivery.server.url, clients: 4, token, pauseMs: 10 })
    const { acknowledged } = traffic.ledger
    const more = (count: number) => {
      const enough = acknowledged.size + count
      return until(() => acknowledged.size >= enough, { timeoutMs: 60_000, what: `${count} more` })
    }
    await more(300)
    await Promise.all(failed.map((one) => faults[one].begin()))
    if (!failed.some((one) => one === 'server')) {
      // Clients see no error, /health is degraded, and the running sink gets all new events.
      await more(500)
      await hasHealth('degraded')
      if (current) await becomesCurrent(current)
    }
    await Promise.all(failed.map((one) => faults[one].end()))
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

/** Waits until the sink has all events committed so far, while the other sink is down. */
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
