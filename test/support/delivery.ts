import { type ClickHouseService, startClickHouse } from '../services/clickhouse.ts'
import { type KafkaService, startKafka } from '../services/kafka.ts'
import { requireKcat } from '../services/kafka-reader.ts'
import { type RedisService, startRedis } from '../services/redis.ts'
import { readRecords } from './kafka-records.ts'
import { scrape } from './metrics.ts'
import { nothingWrong, reconcile, type Stored } from './reconcile.ts'
import { type Findings, nothingWrongInKafka, reconcileKafka } from './reconcile-kafka.ts'
import { type Spillway, startSpillway } from './spillway.ts'
import type { Ledger } from './traffic.ts'
import { until } from './until.ts'

/** A server with services of its own, which a test may kill and pause. */
export type Delivery = {
  server: Spillway
  kafka: KafkaService
  redis: RedisService
  clickhouse: ClickHouseService
  /** Waits until both sinks have all events. */
  settle(): Promise<void>
  /** Compares a token's events in both sinks with the clients' ledger. Success is `allWell`. */
  verify(token: string, ledger: Ledger): Promise<Reconciliation>
  [Symbol.asyncDispose](): Promise<void>
}

export type Reconciliation = { clickhouse: ReturnType<typeof reconcile>; kafka: Findings }

export const allWell: Reconciliation = { clickhouse: nothingWrong, kafka: nothingWrongInKafka }

export async function startDelivery({ brokers = 1 }: { brokers?: 1 | 2 } = {}): Promise<Delivery> {
  await requireKcat()
  await using started = new AsyncDisposableStack()
  const stopped = async <T extends { stop(): Promise<void> }>(starting: Promise<T>) =>
    started.adopt(await starting, (service) => service.stop())
  const [kafka, redis, clickhouse] = await Promise.all([
    stopped(startKafka({ brokers })),
    stopped(startRedis()),
    stopped(startClickHouse()),
  ])
  const server = await startSpillway({
    KAFKA_BROKERS: kafka.brokers.join(','),
    KAFKA_PARTITIONS: '4',
    KAFKA_REPLICATION: String(brokers),
    KAFKA_TIMEOUT_MS: '5000',
    REDIS_URL: redis.url,
    CLICKHOUSE_URL: clickhouse.url,
    CLICKHOUSE_TIMEOUT_MS: '5000',
  })
  started.use(server)
  await until(() => keepDuplicates(server), { timeoutMs: 30_000, what: 'the table of events' })
  const stack = started.move()
  return {
    ...{ server, kafka, redis, clickhouse },
    settle: () => settle(server),
    verify: async (token, ledger) => ({
      clickhouse: reconcile(ledger, await readRows(server, token)),
      kafka: reconcileKafka(ledger, await readLines(kafka, token)),
    }),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
}

/** Stops merges: a merge would remove a duplicate row before the test sees it. */
async function keepDuplicates(server: Spillway): Promise<boolean> {
  const sql = 'ALTER TABLE events MODIFY SETTING max_bytes_to_merge_at_max_space_in_pool = 1'
  return server.query(sql).then(
    () => true,
    () => false,
  )
}

/** Waits until no record and no event waits, by the cursors and by the counters. */
export async function settle({ url }: Pick<Spillway, 'url'>): Promise<void> {
  const isSettled = async () => {
    const read = await scrape(url)
    return read('spillway_sink_waiting_records') + read('spillway_sink_waiting_events') === 0
  }
  await until(isSettled, { timeoutMs: 90_000, pauseMs: 100, what: 'an empty backlog' })
}

const readRows = (server: Spillway, token: string) =>
  server.query<Stored>(`SELECT uuid, properties FROM events WHERE project = '${token}'`)

async function readLines({ brokers }: KafkaService, token: string) {
  const records = await readRecords(brokers, 'events')
  return records.filter(({ key }) => key.startsWith(`${token}:`))
}

/** Topics of a test's own on a shared Kafka. */
export const toTopicSettings = (prefix: string) => ({
  KAFKA_TOPIC_EVENTS: `${prefix}_events`,
  KAFKA_TOPIC_OVERFLOW: `${prefix}_overflow`,
  KAFKA_TOPIC_HISTORICAL: `${prefix}_historical`,
  KAFKA_TOPIC_RECORDINGS: `${prefix}_recordings`,
  KAFKA_TOPIC_LINK_EVENTS: `${prefix}_links`,
  KAFKA_TOPIC_DEAD_LETTERS: `${prefix}_dead`,
  KAFKA_PARTITIONS: '2',
})
