import { statfsSync } from 'node:fs'
import { createHealth } from '../observability/health.ts'
import { createMetrics, type Metrics } from '../observability/metrics.ts'
import { createPlatformHealth } from '../observability/platform-health.ts'
import { type Sources, toReadings, toRealtimeReadings } from '../observability/readings.ts'
import type { Platform } from './platform.ts'
import type { Frame } from './services.ts'

const noJournal = {
  bytes: 0,
  bytesMax: 0,
  segments: 0,
  oldestMs: undefined,
  commits: 0,
  eventsAppended: 0,
  damages: 0,
  isFull: false,
  isFailing: false,
  stuckMs: 0,
}

/** What health checks see of the server. */
export function createServerHealth(frame: Frame) {
  return createHealth({
    phase: () => frame.phase,
    durability: frame.config.DURABILITY,
    journal: () => frame.storage?.journal.stats() ?? noJournal,
    sinks: () => frame.storage?.shipping.health() ?? {},
    redis: () => redisState(frame),
  })
}

function redisState({ redis }: Frame) {
  return redis ? (redis.isAvailable() ? 'healthy' : 'unhealthy') : 'off'
}

/** The same under the BMT contract's keys. */
export function createServerPlatformHealth(frame: Frame, { auth, realtime }: Platform) {
  const health = createServerHealth(frame)
  const isReady = () => health.readiness().status === 200
  const isStored = () => frame.storage?.shipping.health().clickhouse?.state === 'healthy'
  return createPlatformHealth({
    probes: {
      telemetry: isReady,
      auth: auth.isHealthy,
      websocket: realtime.isHealthy,
      database: isStored,
    },
    now: Date.now,
  })
}

export function createServerMetrics(frame: Frame, { realtime }: Platform): Metrics {
  const readings = [...toReadings(toSources(frame)), ...toRealtimeReadings(realtime.stats)]
  return createMetrics({ byContract: frame.counters.byContract, readings })
}

const noDedupKeys = { bytes: 0, unsaved: 0, failures: 0 }

/** What metrics see of the server. */
function toSources(frame: Frame): Sources {
  return {
    journal: () => frame.storage?.journal.stats() ?? noJournal,
    shipping: () => toShippingReading(frame),
    memory: () => frame.memory.used(),
    scheduler: () => ({ refused: frame.scheduler.refused() }),
    seen: () => frame.storage?.seen.counts ?? { entries: 0, forgotten: 0 },
    dedupKeys: () => frame.storage?.dedupKeys.counts() ?? noDedupKeys,
    disk: () => toDiskReading(frame),
    redis: () => frame.redis?.counts ?? { calls: 0, failures: 0, skipped: 0 },
    isDurable: frame.config.DURABILITY === 'disk',
    now: Date.now,
  }
}

/** What was committed or recovered and is neither shipped nor a dead letter yet waits, whatever the cursors say. */
function toShippingReading({ storage, counters, config }: Frame): ReturnType<Sources['shipping']> {
  const {
    sinks = {},
    ring = { bytes: 0, blocks: 0 },
    threadRestarts = 0,
  } = storage?.shipping.stats() ?? {}
  const committed = sum(Object.values(counters.byContract).map(({ committed }) => committed))
  const readings = Object.entries(sinks).map(([name, sink]) => {
    const recovered = storage?.recovered[name] ?? {}
    const taken = total(sink.shipped) + total(sink.deadLettered)
    const waitingEvents = Math.max(0, committed + total(recovered) - taken)
    return [name, { ...sink, recovered, waitingEvents }] as const
  })
  return {
    sinks: Object.fromEntries(readings),
    ring: { ...ring, bytesMax: config.RING_BYTES_MAX },
    threadRestarts,
  }
}

const sum = (numbers: readonly number[]) => numbers.reduce((total, number) => total + number, 0)
const total = (counts: Readonly<Record<string, number>>) => sum(Object.values(counts))

/** Asked for at a scrape alone: a call to the system. */
function toDiskReading({ config }: Frame): { bytes: number; freeBytes: number } {
  try {
    const { blocks, bavail, bsize } = statfsSync(config.dataDir)
    return { bytes: blocks * bsize, freeBytes: bavail * bsize }
  } catch {
    return { bytes: 0, freeBytes: 0 }
  }
}
