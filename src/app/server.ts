import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Config } from '../config/config.ts'
import { SettingsError } from '../config/environment.ts'
import { findLeftovers, toShare } from '../config/per-worker.ts'
import { createContracts } from '../contracts/registry.ts'
import { IngestError } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import { type QueryServer, startQueryServer } from '../embedded/query-api/server.ts'
import { createApp } from '../http/app.ts'
import { createIsForwardedTls } from '../http/forwarded-tls.ts'
import { createToIncoming } from '../http/incoming.ts'
import { type Listening, listen } from '../http/listen.ts'
import { createSocketElsewhere } from '../http/realtime-port.ts'
import { createAnswer, createRespond } from '../http/respond.ts'
import { createAdmission } from '../ingest/admission.ts'
import { createRedisDedupKeys } from '../ingest/dedup/redis-markers.ts'
import { createOverflow } from '../ingest/limits/overflow.ts'
import { createLimiter, createSharedLimit, type Limiter } from '../ingest/limits/rate-limiter.ts'
import { createIngest, type Ingest } from '../ingest/pipeline.ts'
import { type AccessLog, createLogs } from '../observability/log.ts'
import type { Metrics } from '../observability/metrics.ts'
import {
  createServerHealth,
  createServerMetrics,
  createServerPlatformHealth,
} from './observability.ts'
import { type Adoption, adoptJournals } from './orphaned-journals.ts'
import { openPlatform, type Platform } from './platform.ts'
import { createFrame, type Frame } from './services.ts'
import { openStorage, type Storage } from './storage.ts'

const now = Date.now

export type RunningServer = {
  port: number
  url: string
  /** Finishes what is in flight, ships what it can within SHUTDOWN_MS_MAX, and leaves the rest in the journal. */
  stop(reason: string): Promise<void>
  metrics: Metrics['text']
}

/** What one process of several is handed by the one above them. */
export type WorkerContext = {
  /** Its own among WORKERS processes on one port. */
  index: number
  /** The metrics of all of them. */
  gather: Metrics['text']
}

/** Builds every part and hands each what it needs: the only place that knows them all. */
export async function startServer(
  given: Config,
  warnings: readonly string[],
  workerContext?: WorkerContext,
): Promise<RunningServer> {
  const config = workerContext ? toShare(given, workerContext.index) : given
  const { log, access, flush } = createLogs({ level: config.LOG_LEVEL, access: config.ACCESS_LOG })
  const frame = createFrame(config, log)
  // Signing keys are the node's and not a process's own.
  const platform = await openServerPlatform(frame, given.dataDir)
  const metrics = createServerMetrics(frame, platform)
  Object.assign(frame, { platform, metrics })
  const listening = serve(frame, { platform, metrics, access, workerContext })
  const { port, url } = listening
  // The first line says where: with PORT=0 nobody else knows.
  log.info({ port, url, pid: process.pid }, 'listening')
  platform.introduce()
  for (const warning of warnings) log.warn({}, warning)
  if (config.DURABILITY === 'memory') log.warn({}, 'DURABILITY=memory: a crash loses events')
  try {
    await open(frame)
  } catch (error) {
    flush()
    await listening.stop(0)
    throw error
  }
  const adoption = adopt(frame, given, workerContext)
  const stop = async (reason: string) => {
    await adoption?.close()
    await close(frame, listening, reason)
    flush()
  }
  return { port, url, stop, metrics: metrics.text }
}

/** A change of WORKERS leaves journals to others: each goes to one process, always the same. */
function adopt(
  { config, log, storage }: Frame,
  { dataDir, WORKERS: workers }: Config,
  workerContext?: WorkerContext,
): Adoption | undefined {
  const all = findLeftovers(dataDir, workers)
  const folders = workerContext ? all.filter((_, at) => at % workers === workerContext.index) : all
  return storage && folders.length > 0
    ? adoptJournals({ folders, config, storage, log, now })
    : undefined
}

export function openServerPlatform(frame: Frame, dataDir: string): Promise<Platform> {
  const config = { ...frame.config, dataDir }
  const logins = toMinuteLimiter(frame, 'auth', config.RATE_AUTH_PER_MINUTE)
  const connections = toMinuteLimiter(frame, 'socket', config.RATE_SOCKET_PER_MINUTE)
  return openPlatform({ ...frame, config, now, logins, connections })
}

function toMinuteLimiter({ redis }: Frame, name: string, perMinute: number): Limiter {
  const shared = redis && createSharedLimit({ redis, name })
  return createLimiter({ perSecond: perMinute / 60, burst: perMinute, now, shared })
}

type Served = {
  platform: Platform
  metrics: Metrics
  access: AccessLog
  workerContext: WorkerContext | undefined
}

/** Requests are answered from the first moment: with 503 until everything is open. */
function serve(frame: Frame, { platform, metrics, access, workerContext }: Served): Listening {
  const { config, clientIp, isOriginAllowed } = frame
  const ingest: Ingest = (contract, incoming) =>
    frame.ingest
      ? frame.ingest(contract, incoming)
      : Promise.resolve(contract.refuse(starting, incoming))
  const toIncoming = createToIncoming({ clientIp, now, bodyTimeoutMs: config.BODY_TIMEOUT_MS })
  const parts = { toIncoming, access, observe: metrics.observe }
  const app = createApp({
    contracts: createContracts({
      reportEventsMax: config.REPORT_EVENTS_MAX,
      telemetryEventsMax: config.TELEMETRY_EVENTS_MAX,
    }),
    respond: createRespond({ ...parts, ingest }),
    answer: createAnswer(parts),
    health: { health: createServerHealth(frame), metrics: workerContext?.gather ?? metrics.text },
    platform: {
      ...platform,
      isForwardedTls: createIsForwardedTls(config.TRUSTED_PROXIES),
      health: createServerPlatformHealth(frame, platform),
    },
  })
  const isWorker = workerContext !== undefined
  const place = { port: config.PORT, hostname: config.HOST, tls: loadTls(config) }
  const socket = isWorker
    ? createSocketElsewhere(platform.realtime, config.REALTIME_PORT)
    : platform.realtime
  return listen({ app, isOriginAllowed, socket }, { ...place, reusePort: isWorker })
}

export function loadTls({ TLS_CERT_FILE: cert, TLS_KEY_FILE: key }: Config) {
  if (cert === undefined && key === undefined) return
  if (cert === undefined || key === undefined)
    throw new SettingsError(['TLS_CERT_FILE and TLS_KEY_FILE go together'])
  return { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') }
}

const starting = new IngestError('starting', 'the server is starting', { retryAfterSeconds: 1 })
const draining = new IngestError('shutting_down', 'the server is stopping', {
  retryAfterSeconds: 5,
})

async function open(frame: Frame): Promise<void> {
  const { config, log } = frame
  // The journal's tail is marked in Redis as well: a moment for it to be there is worth it.
  await frame.redis?.whenAvailable(redisStartMsMax)
  const shared = frame.redis && createRedisDedupKeys({ redis: frame.redis, now })
  const startCommit = frame.metrics?.startCommit
  frame.storage = await openStorage({ config, log, now, startCommit, shared })
  frame.ingest = createServerIngest(frame, frame.storage)
  frame.phase = 'ready'
  log.info({ durability: config.DURABILITY, dataDir: config.dataDir }, 'ready')
  await frame.storage.started
  if (config.CLICKHOUSE_URL === undefined && config.EMBEDDED_CLICKHOUSE_PORT > 0) {
    frame.query = await openQueryServer(config, log)
  }
}

const redisStartMsMax = 1000

function createServerIngest(frame: Frame, { journal, dedup }: Storage): Ingest {
  const { config, log, counters, memory, scheduler, projects, redis } = frame
  const perSecond = config.RATE_CAPTURE_PER_SECOND
  const burst = config.RATE_CAPTURE_BURST || 2 * perSecond
  const shared = redis && createSharedLimit({ redis, name: 'capture' })
  const admission = createAdmission({
    requests: createLimiter({ perSecond, burst, now, shared }),
    telemetry: toMinuteLimiter(frame, 'telemetry', config.RATE_TELEMETRY_PER_MINUTE),
    quotas: frame.quotas,
    overflow: createOverflow({
      perSecond: config.OVERFLOW_PER_SECOND,
      burst: config.OVERFLOW_BURST,
    }),
    projectById: projects.byId,
  })
  const assertOpen = () => {
    if (frame.phase === 'draining') throw draining
  }
  return createIngest({
    assertOpen,
    memory,
    scheduler,
    projects,
    admission,
    dedup,
    journal,
    counters,
    log,
    dedupIdentity: config.DEDUP_IDENTITY,
    lineBytesMax: config.KAFKA_MESSAGE_BYTES_MAX - kafkaRecordOverheadBytes,
  })
}

/** Key, headers and framing of a Kafka record, beside its value. */
const kafkaRecordOverheadBytes = 4096

/** The interface is a convenience: where its port is taken the server runs on without it. */
async function openQueryServer(config: Config, log: Log): Promise<QueryServer | undefined> {
  try {
    const query = await startQueryServer({
      port: config.EMBEDDED_CLICKHOUSE_PORT,
      chdbPath: join(config.dataDir, 'clickhouse'),
      log,
      mode: 'read-only',
    })
    log.info({ clickhousePort: query.port }, 'the embedded ClickHouse answers queries')
    return query
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    log.warn(
      { reason },
      'the embedded ClickHouse cannot be queried; EMBEDDED_CLICKHOUSE_PORT=0 turns this off',
    )
    return
  }
}

async function close(frame: Frame, listening: Listening, reason: string): Promise<void> {
  const { log, config } = frame
  const deadlineMs = performance.now() + config.SHUTDOWN_MS_MAX
  const leftMs = () => Math.max(0, deadlineMs - performance.now())
  frame.phase = 'draining'
  log.info({ reason }, 'stopping')
  await frame.platform?.close()
  await listening.stop(leftMs())
  await frame.query?.close()
  await frame.storage?.close(leftMs())
  await frame.quotas.close()
  frame.projects.close()
  frame.redis?.close()
  frame.streams?.close()
  log.info({}, 'stopped')
}
