import { join } from 'node:path'
import type { Config } from '../config/config.ts'
import { createGarbageCollector } from '../core/collect-garbage.ts'
import type { Log } from '../core/log.ts'
import type { QueryServer } from '../embedded/query-api/server.ts'
import { type ClientIp, createClientIp } from '../http/client-ip.ts'
import { type OriginRule, toOriginRule } from '../http/cors.ts'
import { createQuotaFile, createSharedQuota } from '../ingest/limits/quota-stores.ts'
import { createQuotas, type QuotaStore, type Quotas } from '../ingest/limits/quotas.ts'
import {
  createMemoryAdmission,
  type MemoryAdmission,
} from '../ingest/load-shedding/admission-ticket.ts'
import { createTurnScheduler, type TurnScheduler } from '../ingest/load-shedding/turn-scheduler.ts'
import type { Ingest } from '../ingest/pipeline.ts'
import { createEventCounters, type EventCounters } from '../observability/event-counters.ts'
import type { Phase } from '../observability/health.ts'
import type { Metrics } from '../observability/metrics.ts'
import { createProjects, type Projects } from '../projects/projects.ts'
import {
  createRedis,
  createRedisStreams,
  type RedisHandle,
  type RedisStreams,
} from '../redis/redis.ts'
import type { Platform } from './platform.ts'
import type { Storage } from './storage.ts'

/** The server's parts: those that exist from the start, and those that are there once they are opened. */
export type Frame = {
  config: Config
  log: Log
  counters: EventCounters
  memory: MemoryAdmission
  scheduler: TurnScheduler
  projects: Projects
  clientIp: ClientIp
  isOriginAllowed: OriginRule
  quotas: Quotas
  redis: RedisHandle | undefined
  streams: RedisStreams | undefined
  phase: Phase
  platform: Platform | undefined
  metrics: Metrics | undefined
  ingest: Ingest | undefined
  storage: Storage | undefined
  query: QueryServer | undefined
}

/** Enough to answer every request with `starting`. */
export function createFrame(config: Config, log: Log): Frame {
  const memory = createMemoryAdmission({
    bytesMax: config.INTAKE_BYTES_MAX,
    requestsMax: config.INFLIGHT_REQUESTS_MAX,
    collector: createGarbageCollector({ everyBytes: collectEveryBytes }),
  })
  const { redis, streams } = connectRedis(config, log)
  return {
    config,
    log,
    counters: createEventCounters(),
    memory,
    scheduler: createTurnScheduler({
      ...turn,
      requests: () => memory.used().requests,
      now: () => performance.now(),
      afterIteration: setImmediate,
    }),
    projects: createProjects({ path: config.PROJECTS_FILE, log }),
    clientIp: createClientIp(config.TRUSTED_PROXIES),
    isOriginAllowed: toOriginRule(config.CORS_ORIGINS, config.NODE_ENV === 'production'),
    quotas: createQuotas({ store: toQuotaStore(config, log, redis), now: Date.now }),
    redis,
    streams,
    phase: 'starting',
    platform: undefined,
    metrics: undefined,
    ingest: undefined,
    storage: undefined,
    query: undefined,
  }
}

/** Counts outlive the process: shared by all nodes, or in a file of this one's own. */
function toQuotaStore({ dataDir }: Config, log: Log, redis: RedisHandle | undefined): QuotaStore {
  if (redis) return createSharedQuota({ redis })
  return createQuotaFile({ path: join(dataDir, 'quotas.json'), now: Date.now, log })
}

function connectRedis({ REDIS_URL: url, ...config }: Config, log: Log) {
  if (url === undefined) return { redis: undefined, streams: undefined }
  const timeoutMs = config.REDIS_TIMEOUT_MS
  return {
    redis: createRedis({ url, prefix: config.REDIS_PREFIX, timeoutMs, log }),
    streams: createRedisStreams({ url, timeoutMs: streamsTimeoutMs }),
  }
}

/** A body of 20 MB takes some 150 MB while it is worked on, and ten times as long as a collection does. */
const collectEveryBytes = 64 * 1024 * 1024

/** The promise is a P95 below 200 ms, and a commit takes up to two turns more. */
const turn = { iterationMsMax: 10, waitMsMax: 40, shedAfterMs: 250, requestsMin: 64 }

/** A message to other nodes may take longer than an event's intake may wait. */
const streamsTimeoutMs = 1000
