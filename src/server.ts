import { join } from 'node:path'
import { createAdmission } from './admission.ts'
import { createLimiter } from './admit/limit.ts'
import { createOverflow } from './admit/overflow.ts'
import { createQuotas } from './admit/quota.ts'
import { createQuotaFile } from './admit/quota-file.ts'
import { createRoom, type Room } from './admit/room.ts'
import type { Config } from './config.ts'
import { createContracts } from './contracts.ts'
import { IngestError } from './core/errors.ts'
import type { Log } from './core/log.ts'
import { createApp } from './http/app.ts'
import { createClientIp } from './http/client-ip.ts'
import { toOriginRule } from './http/cors.ts'
import { createToIncoming } from './http/incoming.ts'
import { type Listening, listen } from './http/listen.ts'
import { createRespond } from './http/respond.ts'
import { createIngest, type Ingest } from './ingest.ts'
import { createHealth, type Phase } from './ops/health.ts'
import { type AccessLog, createLogs } from './ops/log.ts'
import { createMeter, type Meter } from './ops/meter.ts'
import { createMetrics } from './ops/metrics.ts'
import { type Sources, toReadings } from './ops/readings.ts'
import { createProjects, type Projects } from './projects/projects.ts'
import { type QueryServer, startQueryServer } from './query/server.ts'
import { openStorage, type Storage } from './storage.ts'

export type RunningServer = {
  port: number
  url: string
  /** Finishes what is in flight, ships what it can within SHUTDOWN_MS_MAX, and leaves the rest in the journal. */
  stop(reason: string): Promise<void>
}

/** What exists before anything is opened: enough to answer every request with `starting`. */
type Frame = {
  config: Config
  log: Log
  meter: Meter
  room: Room
  projects: Projects
  phase: Phase
  ingest: Ingest | undefined
  storage: Storage | undefined
  query: QueryServer | undefined
}

/** Builds every part and hands each what it needs: the only place that knows them all. */
export async function startServer(
  config: Config,
  warnings: readonly string[],
): Promise<RunningServer> {
  const { log, access, flush } = createLogs({ level: config.LOG_LEVEL, access: config.ACCESS_LOG })
  const frame = createFrame(config, log)
  const listening = serve(frame, access)
  const { port, url } = listening
  // The first line says where: with PORT=0 nobody else knows.
  log.info({ port, url, pid: process.pid }, 'listening')
  for (const warning of warnings) log.warn({}, warning)
  if (config.DURABILITY === 'memory') log.warn({}, 'DURABILITY=memory: a crash loses events')
  try {
    await open(frame)
  } catch (error) {
    flush()
    await listening.stop(0)
    throw error
  }
  const stop = async (reason: string) => {
    await close(frame, listening, reason)
    flush()
  }
  return { port, url, stop }
}

const now = Date.now

function createFrame(config: Config, log: Log): Frame {
  const bounds = { bytesMax: config.INTAKE_BYTES_MAX, requestsMax: config.INFLIGHT_REQUESTS_MAX }
  return {
    config,
    log,
    meter: createMeter(),
    room: createRoom(bounds),
    projects: createProjects({ path: config.PROJECTS_FILE, log }),
    phase: 'starting',
    ingest: undefined,
    storage: undefined,
    query: undefined,
  }
}

/** Requests are answered from the first moment: with 503 until everything is open. */
function serve(frame: Frame, access: AccessLog): Listening {
  const { config, meter } = frame
  const metrics = createMetrics({ sheets: meter.sheets, readings: toReadings(toSources(frame)) })
  const clientIp = createClientIp(config.TRUSTED_PROXIES)
  const ingest: Ingest = (contract, incoming) =>
    frame.ingest
      ? frame.ingest(contract, incoming)
      : Promise.resolve(contract.refuse(starting, incoming))
  const app = createApp({
    contracts: createContracts({
      reportEventsMax: config.REPORT_EVENTS_MAX,
      telemetryEventsMax: config.TELEMETRY_EVENTS_MAX,
    }),
    respond: createRespond({
      ingest,
      toIncoming: createToIncoming({ clientIp, now, bodyTimeoutMs: config.BODY_TIMEOUT_MS }),
      access,
      observe: metrics.observe,
    }),
    health: { health: createServerHealth(frame), metrics: metrics.text },
  })
  return listen(app, toOriginRule(config.CORS_ORIGINS), {
    port: config.PORT,
    hostname: config.HOST,
    tls: undefined,
  })
}

const starting = new IngestError('starting', 'the server is starting', { retryAfterSeconds: 1 })
const draining = new IngestError('shutting_down', 'the server is stopping', {
  retryAfterSeconds: 5,
})

async function open(frame: Frame): Promise<void> {
  const { config, log } = frame
  frame.storage = await openStorage({ config, log, now, shared: undefined })
  frame.ingest = createServerIngest(frame, frame.storage)
  frame.phase = 'ready'
  log.info({ durability: config.DURABILITY, dataDir: config.dataDir }, 'ready')
  if (config.CLICKHOUSE_URL === undefined && config.EMBEDDED_CLICKHOUSE_PORT > 0) {
    frame.query = await openQueryServer(config, log)
  }
}

function createServerIngest(frame: Frame, { journal, dedup }: Storage): Ingest {
  const { config, log, meter, room, projects } = frame
  const perSecond = config.RATE_CAPTURE_PER_SECOND
  const perMinute = config.RATE_TELEMETRY_PER_MINUTE
  const admission = createAdmission({
    requests: createLimiter({ perSecond, burst: config.RATE_CAPTURE_BURST || 2 * perSecond, now }),
    telemetry: createLimiter({ perSecond: perMinute / 60, burst: perMinute, now }),
    quotas: createQuotas({
      store: createQuotaFile({ path: join(config.dataDir, 'quotas.json'), now, log }),
      now,
    }),
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
    room,
    projects,
    admission,
    dedup,
    journal,
    meter,
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
      enginePath: join(config.dataDir, 'clickhouse'),
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
  await listening.stop(leftMs())
  await frame.query?.close()
  await frame.storage?.close(leftMs())
  frame.projects.close()
  log.info({}, 'stopped')
}

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

function createServerHealth(frame: Frame) {
  return createHealth({
    phase: () => frame.phase,
    durability: frame.config.DURABILITY,
    journal: () => frame.storage?.journal.stats() ?? noJournal,
    sinks: () => frame.storage?.shipping.health() ?? {},
    redis: () => 'off',
  })
}

function toSources(frame: Frame): Sources {
  const noShipping = { sinks: {}, ring: { bytes: 0, blocks: 0 }, threadRestarts: 0 }
  return {
    journal: () => frame.storage?.journal.stats() ?? noJournal,
    shipping: () => frame.storage?.shipping.stats() ?? noShipping,
    room: () => frame.room.used(),
    seen: () => frame.storage?.seen.counts ?? { entries: 0, forgotten: 0 },
    redis: () => ({ calls: 0, failures: 0, skipped: 0 }),
    isDurable: frame.config.DURABILITY === 'disk',
    now,
  }
}
