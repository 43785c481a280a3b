import { startClickHouse } from './clickhouse.ts'
import { startKafka } from './kafka.ts'
import { startRedis } from './redis.ts'

/**
 * One server of each kind for all tests of a run, started when the first test asks for it and reaped
 * when the run ends. Where the environment names one, that one is used. It belongs to everybody:
 * a test makes topics, keys and databases of its own, and whoever kills or hangs a server starts
 * one with `startKafka`, `startRedis` or `startClickHouse`.
 */
export const shared = {
  kafka: once(async (): Promise<string[]> => {
    const brokers = process.env.KAFKA_BROKERS
    return brokers ? brokers.split(',') : (await startKafka()).brokers
  }),
  redis: once(async () => process.env.REDIS_URL || (await startRedis()).url),
  clickhouse: once(async () => process.env.CLICKHOUSE_URL || (await startClickHouse()).url),
}

/** Everybody waits for the same start. A start that failed is tried again by the next. */
function once<T>(start: () => Promise<T>): () => Promise<T> {
  let started: Promise<T> | undefined
  return () => {
    started ??= start().catch((error) => {
      started = undefined
      throw error
    })
    return started
  }
}
