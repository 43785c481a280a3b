import { startClickHouse } from './clickhouse.ts'
import { startKafka } from './kafka.ts'
import { startRedis } from './redis.ts'

/**
 * One server of each kind for all tests of a run. The first test that asks for it starts it; it ends with the run.
 * A server that the environment names is used instead. Tests share these servers, so each test uses its own topics,
 * keys and databases. A test that kills or stops a server starts its own with `startKafka`, `startRedis` or
 * `startClickHouse`.
 */
export const shared = {
  kafka: once(async (): Promise<string[]> => {
    const brokers = process.env.KAFKA_BROKERS
    return brokers ? brokers.split(',') : (await startKafka()).brokers
  }),
  redis: once(async () => process.env.REDIS_URL || (await startRedis()).url),
  clickhouse: once(async () => process.env.CLICKHOUSE_URL || (await startClickHouse()).url),
}

/** All callers wait for the same start. After a failed start the next caller tries again. */
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
