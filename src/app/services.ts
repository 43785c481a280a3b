import { join } from 'node:path'
import type { Config } from '../config/config.ts'
import { toContractLimits } from '../contracts/registry.ts'
import { toSender } from '../core/address.ts'
import { createBallast, createGarbageCollector } from '../core/collect-garbage.ts'
import { type OriginRule, toOriginRule } from '../core/cors.ts'
import { IngestError } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import { createSenderHold, type SenderHold } from '../core/sender-hold.ts'
import { type ClientIp, createClientIp } from '../http/client-ip.ts'
import { createAdmission } from '../ingest/admission.ts'
import { createRedisDedupKeys } from '../ingest/dedup/redis-markers.ts'
import { type BodyThread, createBodyThread } from '../ingest/large-bodies/thread.ts'
import { createQuotaFile, createSharedQuota } from '../ingest/limits/quota-stores.ts'
import { createQuotas, type QuotaStore, type Quotas } from '../ingest/limits/quotas.ts'
import {
  createLimiter,
  createOverflow,
  createSharedLimit,
  type Limiter,
} from '../ingest/limits/rate-limiter.ts'
import {
  createMemoryAdmission,
  type MemoryAdmission,
} from '../ingest/load-shedding/admission-ticket.ts'
import { createTurnScheduler, type TurnScheduler } from '../ingest/load-shedding/turn-scheduler.ts'
import { createIngest, type Ingest, type IngestOptions } from '../ingest/pipeline.ts'
import type { IngestObserver } from '../ingest/store.ts'
import { createEventCounters, type EventCounters } from '../observability/event-counters.ts'
import type { Metrics } from '../observability/metrics.ts'
import { createProjects, type Projects } from '../projects/projects.ts'
import {
  createRedis,
  createRedisStreams,
  type RedisHandle,
  type RedisStreams,
} from '../redis/redis.ts'
import type { Closer } from './closer.ts'
import { type Enrichment, openEnrichment } from './enrichment.ts'
import type { IntakeGate } from './intake-gate.ts'
import { openPlatform, type Platform } from './platform.ts'
import { openDataFolder } from './private-files.ts'
import { openStorage, type Storage } from './storage.ts'

const now = Date.now

/** The parts that need no journal: tokens, realtime and SDK settings are served with them. */
export type BaseServices = Readonly<{
  config: Config
  log: Log
  projects: Projects
  clientIp: ClientIp
  isOriginAllowed: OriginRule
  redis: RedisHandle | undefined
  streams: RedisStreams | undefined
  /** Shared by all routes: a sender who is held back for one is held back for all. */
  hold: SenderHold
  platform: Platform
}>

/** Everything that the server is made of. */
export type Services = BaseServices &
  Readonly<{
    counters: EventCounters
    memory: MemoryAdmission
    /** Only its existence counts. */
    ballast: ArrayBuffer
    scheduler: TurnScheduler
    bodyThread: BodyThread
    /** Undefined if no project can want it. */
    enrichment: Enrichment | undefined
    quotas: Quotas
    storage: Storage
    ingest: Ingest
    /** The parts of `ingest`, for events that operators send. */
    ingestOptions: IngestOptions
    gate: IntakeGate
  }>

type BaseServicesOptions = {
  config: Config
  /** Folder of the keys and tokens that all processes of the node share. */
  nodeDataDir: string
  log: Log
  closer: Closer
}

/** Rejects with a message for the operator, for example when production has no signing keys. */
export async function openBaseServices(options: BaseServicesOptions): Promise<BaseServices> {
  const { config, nodeDataDir, log, closer } = options
  openDataFolder(nodeDataDir)
  const { redis, streams } = connectRedis(config, log, closer)
  const projects = createProjects({ path: config.PROJECTS_FILE, log })
  closer.add('projects', projects.close)
  const clientIp = createClientIp(config.TRUSTED_PROXIES)
  const isOriginAllowed = toOriginRule(config.CORS_ORIGINS, config.NODE_ENV === 'production')
  const hold = createSenderHold()
  const platform = await openPlatform({
    config: { ...config, dataDir: nodeDataDir },
    ...{ log, now, projects, clientIp, isOriginAllowed, redis, streams, hold, closer },
    logins: createMinuteLimiter(redis, 'auth', config.RATE_AUTH_PER_MINUTE),
    connections: createMinuteLimiter(redis, 'socket', config.RATE_SOCKET_PER_MINUTE),
  })
  return { config, log, projects, clientIp, isOriginAllowed, redis, streams, hold, platform }
}

type ServicesOptions = {
  base: BaseServices
  startCommit: Metrics['startCommit']
  observer: IngestObserver
  gate: IntakeGate
  closer: Closer
}

/** Opens the journal and everything that accepts events. Rejects when the journal cannot be opened. */
export async function openServices(options: ServicesOptions): Promise<Services> {
  const { base, startCommit, observer, gate, closer } = options
  const { config, log, redis } = base
  const quotas = createQuotas({ store: createQuotaStore(config, log, redis), now })
  closer.add('quotas', () => quotas.close())
  // The start also marks the newest dedup keys of the journal in Redis, so it waits for Redis for a moment.
  await redis?.whenAvailable(redisStartMsMax)
  const shared = redis && createRedisDedupKeys({ redis, now })
  const storage = await openStorage({ config, log, now, startCommit, shared, closer })
  const enrichment = await openEnrichment({ config, projects: base.projects, log, closer })
  const memory = createMemoryAdmission({
    bytesMax: config.INTAKE_BYTES_MAX,
    requestsMax: config.INFLIGHT_REQUESTS_MAX,
    collector: createGarbageCollector({
      everyBytes: Math.min(collectEveryBytes, config.INTAKE_BYTES_MAX / 4),
    }),
  })
  const parts = {
    counters: createEventCounters(base.projects.isListed),
    memory,
    ballast: createBallast(ballastBytes),
    scheduler: createTurnScheduler({
      ...turn,
      requests: () => memory.used().requests,
      now: () => performance.now(),
      afterIteration: setImmediate,
    }),
    quotas,
    storage,
    bodyThread: createBodyThread({
      workMsMax: config.BODY_WORK_MS_MAX,
      limits: toContractLimits(config),
      enrichment,
    }),
    enrichment,
    gate,
  }
  closer.add('body thread', async () => parts.bodyThread.close())
  const ingestOptions = toIngestOptions({ ...base, ...parts, observer })
  return { ...base, ...parts, ingestOptions, ingest: createIngest(ingestOptions) }
}

const redisStartMsMax = 1000

/** Measured: a body of 20 MB takes 150 MB while it is processed, and ten times as long as one collection. */
const collectEveryBytes = 64 * 1024 * 1024

/** As much as the dedup table of the versions before counted (docs/decisions/0016-runtime-memory.md). */
const ballastBytes = 256 * 1024 * 1024

/** Target: P95 < 200 ms. Waiting for the commit adds up to two event-loop iterations. */
const turn = {
  iterationMsMax: 10,
  waitMsMax: 120,
  overloadedWaitMsMax: 40,
  shedAfterMs: 250,
  requestsMin: 64,
}

/** Both are undefined without REDIS_URL. */
function connectRedis({ REDIS_URL: url, ...config }: Config, log: Log, closer: Closer) {
  if (url === undefined) return { redis: undefined, streams: undefined }
  const streams = createRedisStreams({ url, timeoutMs: streamsTimeoutMs })
  closer.add('redis streams', streams.close)
  const timeoutMs = config.REDIS_TIMEOUT_MS
  const redis = createRedis({ url, prefix: config.REDIS_PREFIX, timeoutMs, log })
  closer.add('redis', () => redis.close())
  return { redis, streams }
}

/** Longer than the limit of a call for an event: no request waits for a message to other nodes. */
const streamsTimeoutMs = 1000

/** Counts survive a restart: in Redis for all nodes together, else in a file of this process. */
function createQuotaStore(
  { dataDir }: Config,
  log: Log,
  redis: RedisHandle | undefined,
): QuotaStore {
  if (redis) return createSharedQuota({ redis })
  return createQuotaFile({ path: join(dataDir, 'quotas.json'), now, log })
}

/** Limits client addresses. */
function createMinuteLimiter(
  redis: RedisHandle | undefined,
  name: string,
  perMinute: number,
): Limiter {
  const shared = redis && createSharedLimit({ redis, name })
  const limiter = createLimiter({ perSecond: perMinute / 60, burst: perMinute, now, shared })
  return { take: (address, options) => limiter.take(toSender(address), options) }
}

type IngestServices = Omit<Services, 'ingest' | 'ingestOptions'> & { observer: IngestObserver }

function toIngestOptions(services: IngestServices): IngestOptions {
  const { config, redis, projects, quotas, storage, gate, ...parts } = services
  const perSecond = config.RATE_CAPTURE_PER_SECOND
  const burst = config.RATE_CAPTURE_BURST || 2 * perSecond
  const shared = redis && createSharedLimit({ redis, name: 'project' })
  const admission = createAdmission({
    projects,
    requests: createLimiter({ perSecond, burst, now, shared }),
    byAddress: {
      telemetry: createMinuteLimiter(redis, 'telemetry', config.RATE_TELEMETRY_PER_MINUTE),
      link: createMinuteLimiter(redis, 'link', config.RATE_LINK_PER_MINUTE),
    },
    quotas,
    overflow: createOverflow({
      perSecond: config.OVERFLOW_PER_SECOND,
      burst: config.OVERFLOW_BURST,
    }),
  })
  return {
    assertOpen() {
      if (gate.isClosed()) throw draining
    },
    memory: parts.memory,
    scheduler: parts.scheduler,
    hold: parts.hold,
    thread: parts.bodyThread,
    admission,
    dedup: storage.dedup,
    journal: storage.journal,
    counters: parts.counters,
    log: parts.log,
    dedupIdentity: config.DEDUP_IDENTITY,
    lineBytesMax() {
      const bytesMax = Math.min(
        config.KAFKA_MESSAGE_BYTES_MAX,
        storage.shipping.recordingBytesMax(),
      )
      return Math.max(bytesMax - kafkaRecordOverheadBytes, recordingBytesMin)
    },
    skewMsMin: config.SKEW_MS_MIN,
    enrich: parts.enrichment?.enrich,
    observer: parts.observer,
  }
}

const draining = new IngestError('shutting_down', 'the server is stopping', {
  retryAfterSeconds: 5,
})

/** A topic with a smaller limit than this gets dead letters: a recording is not cut into thousands of rows. */
const recordingBytesMin = 32 * 1024

/** Key, headers and framing of a Kafka record, beside its value. */
const kafkaRecordOverheadBytes = 4096
