import { startClickHouse } from './clickhouse.ts'
import { startKafka } from './kafka.ts'
import { startRedis } from './redis.ts'

/** The services that `bun run services` starts, by the setting that names their address. */
const kinds: Record<string, () => Promise<Running>> = {
  KAFKA_BROKERS: async () => {
    const kafka = await startKafka()
    return { value: kafka.brokers.join(','), stop: kafka.stop }
  },
  REDIS_URL: async () => {
    const redis = await startRedis()
    return { value: redis.url, stop: redis.stop }
  },
  CLICKHOUSE_URL: async () => {
    const clickhouse = await startClickHouse()
    return { value: clickhouse.url, stop: clickhouse.stop }
  },
}

type Running = { value: string; stop: () => Promise<void> }

/** Starts each service that the environment does not name, and prints the address of each. */
async function main(): Promise<void> {
  const asked = new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => resolve())
  })
  const starts = Object.entries(kinds).map(async ([setting, start]) => {
    const given = process.env[setting]
    const running = given ? { value: given, stop: async () => {} } : await start()
    console.log(`export ${setting}=${running.value}`)
    return running
  })
  const all = Promise.all(starts)
  const ready = all.then(() =>
    console.error('Ready. Press Ctrl-C to stop the services that this command started.'),
  )
  try {
    await Promise.race([ready.then(() => asked), asked])
  } finally {
    const ended = await Promise.allSettled(starts)
    await Promise.all(ended.map((start) => start.status === 'fulfilled' && start.value.stop()))
  }
}

if (import.meta.main) {
  await main().catch((error) => {
    console.error(error instanceof Error ? error.message : error)
    process.exitCode = 1
  })
  process.exit()
}
