import { join } from 'node:path'
import { generateKeySet } from '../src/platform/auth/keys.ts'
import { startClickHouse } from '../test/services/clickhouse.ts'
import { startKafka } from '../test/services/kafka.ts'
import { startRedis } from '../test/services/redis.ts'
import { countRecords } from './kafka-count.ts'
import { type Launched, launch, startCommand, until } from './launch.ts'
import { countRows, freePort } from './rows.ts'

/** A server with production settings. */
export type Bench = Launched & {
  /** Rows of a table or, without ClickHouse, records of its topic. */
  count(table: string): Promise<number>
}

/** `alone`: the embedded ClickHouse. `kafka`: Kafka and no other sink. */
export type ServicesMode = 'all' | 'alone' | 'kafka'

/** Settings with the addresses of services. Empty if the server runs alone. */
export type Services = { environment: Record<string, string>; stop(): Promise<void> }

const root = join(import.meta.dir, '..')

export async function startServices(mode: ServicesMode): Promise<Services> {
  if (mode === 'alone') return { environment: {}, stop: async () => {} }
  if (mode === 'kafka') return startKafkaAlone()
  console.error('starting Kafka, ClickHouse and Redis')
  const [kafka, clickhouse, redis] = await Promise.all([
    startKafka({ fullSpeed: true }),
    startClickHouse(),
    startRedis(),
  ])
  return {
    environment: {
      KAFKA_BROKERS: kafka.brokers.join(','),
      CLICKHOUSE_URL: clickhouse.url,
      REDIS_URL: redis.url,
    },
    stop: async () => void (await Promise.all([kafka.stop(), clickhouse.stop(), redis.stop()])),
  }
}

async function startKafkaAlone(): Promise<Services> {
  console.error('starting Kafka')
  const kafka = await startKafka({ fullSpeed: true })
  const environment = { SINKS: 'kafka', KAFKA_BROKERS: kafka.brokers.join(',') }
  return { environment, stop: () => kafka.stop() }
}

/**
 * Access log and metrics stay on. The limits per address and per user are off: the load has one
 * address.
 */
export async function startBench(
  folder: string,
  name: string,
  environment: Record<string, string> = {},
): Promise<Bench> {
  const keys = join(folder, 'keys.json')
  if (!(await Bun.file(keys).exists())) await Bun.write(keys, await generateKeySet())
  const queryPort = freePort()
  const settings: Record<string, string> = {
    PORT: '0',
    HOST: '127.0.0.1',
    NODE_ENV: 'production',
    AUTH_KEYS_FILE: keys,
    DATA_DIR: join(folder, name),
    EMBEDDED_CLICKHOUSE_PORT: String(queryPort),
    RATE_TELEMETRY_PER_MINUTE: '0',
    RATE_LINK_PER_MINUTE: '0',
    RATE_SOCKET_PER_MINUTE: '0',
    RATE_AUTH_PER_MINUTE: '0',
    OVERFLOW_PER_SECOND: '0',
    ...environment,
  }
  const server = await launch(startCommand, settings, join(folder, `${name}.log`))
  if (settings.SINKS === 'kafka')
    return { ...server, count: (table) => countRecords(settings.KAFKA_BROKERS!, table) }
  const queryUrl = settings.CLICKHOUSE_URL ?? `http://127.0.0.1:${queryPort}`
  // The embedded ClickHouse is ready a moment after the server.
  const answers = () =>
    fetch(`${queryUrl}/ping`).then(
      ({ ok }) => ok,
      () => false,
    )
  await until(answers, 'ClickHouse')
  return { ...server, count: (table) => countRows(queryUrl, table) }
}

export const startBaseline = (folder: string) =>
  launch(['bun', join(root, 'bench/baseline.ts')], {}, join(folder, 'baseline.log'))
