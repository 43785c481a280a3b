import { statfsSync } from 'node:fs'
import { toEnrichReadings } from '../observability/enrich-readings.ts'
import {
  createHealth,
  createPlatformHealth,
  type Health,
  type PlatformHealth,
} from '../observability/health.ts'
import type { Reading } from '../observability/metrics.ts'
import { type Sources, toReadings } from '../observability/readings.ts'
import type { BaseServices, Services } from './services.ts'

export type HealthChecks = { health: Health; platformHealth: PlatformHealth }

const emptyJournal = {
  ...{ bytes: 0, bytesMax: 0, isFull: false, isFailing: false, stuckMs: 0 },
  faultCode: undefined,
}

/** The health checks until the journal is open. */
export function createBootChecks(base: BaseServices): HealthChecks {
  const health = createHealth({
    phase: () => 'starting',
    durability: base.config.DURABILITY,
    journal: () => emptyJournal,
    isDeliveryWithoutDisk: () => false,
    sinks: () => ({}),
    redis: () => toRedisState(base),
  })
  return {
    health,
    platformHealth: createServerPlatformHealth(
      base,
      () => false,
      () => false,
    ),
  }
}

export function createChecks(services: Services): HealthChecks {
  const { storage, gate, config } = services
  const health = createHealth({
    phase: () => (gate.isLeaving() ? 'draining' : 'ready'),
    durability: config.DURABILITY,
    journal: () => storage.journal.stats(),
    isDeliveryWithoutDisk: () => storage.shipping.isWithoutDisk(),
    sinks: () => storage.shipping.health(),
    redis: () => toRedisState(services),
  })
  const isReady = () => health.readiness(false).status === 200
  const isStored = () => {
    const { clickhouse, kafka } = storage.shipping.health()
    return (clickhouse ?? kafka)?.state === 'healthy'
  }
  return { health, platformHealth: createServerPlatformHealth(services, isReady, isStored) }
}

/** The names of the services are the BMT contract's. */
function createServerPlatformHealth(
  { platform: { auth, realtime } }: BaseServices,
  telemetry: () => boolean,
  database: () => boolean,
): PlatformHealth {
  const probes = {
    telemetry,
    auth: auth.isHealthy,
    websocket: () => !auth.isOff && realtime.isHealthy(),
    database,
  }
  return createPlatformHealth({ probes, now: Date.now })
}

export function toRedisState({ redis }: BaseServices) {
  return redis ? (redis.isAvailable() ? 'healthy' : 'unhealthy') : 'off'
}

/** The readings of all parts that the metrics show. */
export function toServerReadings(services: Services): Reading[] {
  const { storage, memory, scheduler, redis, config, enrichment } = services
  const readings = toReadings({
    byContract: services.counters.byContract,
    alteredByProject: services.counters.alteredByProject,
    eventsByProject: services.counters.eventsByProject,
    journal: () => storage.journal.stats(),
    shipping: () => toShippingReading(services),
    memory: () => memory.used(),
    scheduler: () => ({ refused: scheduler.refused() }),
    dedupTable: () => ({ ...storage.table.counts, bytes: storage.table.bytes }),
    dedupFiles: () => storage.dedupFiles.counts(),
    disk: () => toDiskReading(config.dataDir),
    redis: () => redis?.counts ?? { calls: 0, failures: 0, skipped: 0 },
    isDurable: config.DURABILITY === 'disk',
    now: Date.now,
  })
  return enrichment ? [...readings, ...toEnrichReadings(enrichment.reading)] : readings
}

/** Committed and recovered events wait until they are shipped or dead letters, whatever the cursors say. */
function toShippingReading(services: Services): ReturnType<Sources['shipping']> {
  const { storage, counters, config } = services
  const { sinks, ring, ...stats } = storage.shipping.stats()
  const health = storage.shipping.health()
  const committed = sum(Object.values(counters.byContract).map(({ committed }) => committed))
  const readings = Object.entries(sinks).map(([name, sink]) => {
    const recovered = storage.recovered[name] ?? {}
    const taken = total(sink.shipped) + total(sink.deadLettered)
    const waitingEvents = Math.max(0, committed + total(recovered) - taken)
    const isUp = health[name]?.state === 'healthy'
    return [name, { ...sink, recovered, waitingEvents, isUp }] as const
  })
  return {
    sinks: Object.fromEntries(readings),
    ring: { ...ring, bytesMax: config.RING_BYTES_MAX },
    ...stats,
  }
}

const sum = (numbers: readonly number[]) => numbers.reduce((total, number) => total + number, 0)
const total = (counts: Readonly<Record<string, number>>) => sum(Object.values(counts))

/** Only called for a scrape, because it is a system call. */
function toDiskReading(dataDir: string): { bytes: number; freeBytes: number } {
  try {
    const { blocks, bavail, bsize } = statfsSync(dataDir)
    return { bytes: blocks * bsize, freeBytes: bavail * bsize }
  } catch {
    return { bytes: 0, freeBytes: 0 }
  }
}
