import type { Frame } from './frame.ts'
import { createHealth } from './ops/health.ts'
import { createPlatformHealth } from './ops/platform-health.ts'
import type { Sources } from './ops/readings.ts'
import type { Platform } from './platform.ts'

const noJournal = {
  bytes: 0,
  bytesMax: 0,
  segments: 0,
  oldestMs: undefined,
  commits: 0,
  eventsAppended: 0,
  damages: 0,
  isFull: false,
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
  const isReady = () => frame.phase === 'ready' && frame.storage?.journal.stats().isFull === false
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

/** What metrics see of the server. */
export function toSources(frame: Frame): Sources {
  const noShipping = { sinks: {}, ring: { bytes: 0, blocks: 0 }, threadRestarts: 0 }
  return {
    journal: () => frame.storage?.journal.stats() ?? noJournal,
    shipping: () => frame.storage?.shipping.stats() ?? noShipping,
    room: () => frame.room.used(),
    seen: () => frame.storage?.seen.counts ?? { entries: 0, forgotten: 0 },
    redis: () => frame.redis?.counts ?? { calls: 0, failures: 0, skipped: 0 },
    isDurable: frame.config.DURABILITY === 'disk',
    now: Date.now,
  }
}
