import { readFileSync } from 'node:fs'
import type { Config } from '../config/config.ts'
import { SettingsError } from '../config/environment.ts'
import { findOrphanedJournals, toShare } from '../config/per-worker.ts'
import { createPosthogBoot } from '../contracts/capture/posthog-boot.ts'
import { createContracts } from '../contracts/registry.ts'
import type { Log } from '../core/log.ts'
import { toEmbeddedFolder } from '../delivery/clickhouse/store.ts'
import { startQueryServer } from '../embedded/query-api/server.ts'
import { createDeadlines } from '../http/body.ts'
import { createIsForwardedTls } from '../http/client-ip.ts'
import { createToIncoming } from '../http/incoming.ts'
import { listen } from '../http/listen.ts'
import { createSocketElsewhere } from '../http/realtime-port.ts'
import { createAnswer, createRespond, type RespondOptions } from '../http/respond.ts'
import { createApp } from '../http/routes.ts'
import { createScripts } from '../http/scripts.ts'
import type { Ingest } from '../ingest/pipeline.ts'
import { createLogs, type Logs } from '../observability/log.ts'
import { createMetrics, type Metrics } from '../observability/metrics.ts'
import { toRealtimeReadings } from '../observability/realtime-readings.ts'
import { createBootIngest } from './boot-ingest.ts'
import { type Closer, createCloser } from './closer.ts'
import {
  createBootChecks,
  createChecks,
  type HealthChecks,
  toServerReadings,
} from './observability.ts'
import { createOrphanDelivery } from './orphaned-journals.ts'
import { type BaseServices, openBaseServices, openServices } from './services.ts'

const now = Date.now

type RunningServer = {
  port: number
  url: string
  /** Finishes requests in flight and ships for at most SHUTDOWN_MS_MAX. The rest stays in the journal. */
  stop(reason: string): Promise<StopReport>
  metrics: Metrics['text']
}

/** `undelivered`: records in the journal that a sink does not have yet. The next start ships them. */
export type StopReport = { undelivered: number }

/** The last line of the log. */
export const toStopText = (undelivered: number, folder: string) =>
  `stopped; ${undelivered} events undelivered${undelivered > 0 ? `; they stay in the journal in ${folder}, and the next start delivers them` : ''}`

/** What the supervisor gives to one of WORKERS processes. */
type WorkerContext = {
  index: number
  /** The metrics of all processes together. */
  gather: Metrics['text']
}

type StartOptions = {
  config: Config
  warnings: readonly string[]
  worker?: WorkerContext | undefined
  /** For tests: a closer that fails at a certain part. */
  createCloser?: typeof createCloser
}

/** Starts the server. Rejects with a message for the operator; everything opened before is closed then. */
export async function startServer(options: StartOptions): Promise<RunningServer> {
  const { LOG_LEVEL: level, ACCESS_LOG: access } = options.config
  const logs = createLogs({ level, access })
  const closer = (options.createCloser ?? createCloser)(logs.log)
  try {
    const server = await open({ ...options, logs, closer })
    return { ...server, stop: (reason) => server.stop(reason).finally(logs.close) }
  } catch (error) {
    await closer.close(0)
    logs.close()
    throw error
  }
}

type Opening = StartOptions & { logs: Logs; closer: Closer }

/**
 * Requests are accepted from the first moment. Until the journal is open, the boot app holds events; then the app with
 * all services replaces it.
 */
async function open({ config: given, warnings, worker, logs, closer }: Opening) {
  const { log } = logs
  const config = worker ? toShare(given, worker.index) : given
  const base = await openBaseServices({ config, nodeDataDir: given.dataDir, log, closer })
  const metrics = createMetrics(toRealtimeReadings(base.platform.realtime.stats))
  const toApp = createToApp(base, { logs, metrics, worker, closer })
  const boot = createBootIngest()
  const bootApp = toApp(boot.ingest, createBootChecks(base))
  const listening = openListener(base, bootApp, worker)
  closer.add('listener', (withinMs) => {
    boot.close()
    return listening.stop(withinMs)
  })
  const { port, url } = listening
  // The first line: with PORT=0 it is the only source of the port.
  log.info({ port, url, pid: process.pid }, 'listening')
  base.platform.introduce()
  for (const warning of warnings) log.warn({}, warning)
  if (config.DURABILITY === 'memory') log.warn({}, 'DURABILITY=memory: a crash loses events')

  let draining = false
  const isDraining = () => draining
  const services = await openServices({
    base,
    startCommit: metrics.startCommit,
    isDraining,
    closer,
  })
  const { storage } = services
  const orphans = createOrphanDelivery({
    folders: findOrphansOf(given, worker),
    ...{ config, storage, log, now },
  })
  closer.add('orphaned journals', orphans.close)
  // The embedded ClickHouse opens its data in the shippers' thread first.
  const querying = storage.started.then(() => openQueryServer(config, log))
  // It is awaited below. Without this, a failure before that would also be an unhandled rejection.
  querying.catch(() => {})
  closer.add('query server', async () => (await querying.catch(() => undefined))?.close())
  closer.add('requests', async () => {
    draining = true
    await closer.closeEarly('realtime')
    await closer.closeEarly('listener')
  })
  metrics.add(toServerReadings(services))
  listening.replaceApp(toApp(services.ingest, createChecks(services)))
  boot.open(services.ingest)
  log.info({ durability: config.DURABILITY, dataDir: config.dataDir }, 'ready')
  await querying
  orphans.start()
  async function stop(reason: string): Promise<StopReport> {
    log.info({ reason }, 'stopping')
    await closer.close(config.SHUTDOWN_MS_MAX)
    const waiting = Object.values(storage.shipping.stats().sinks).map((sink) => sink.waiting)
    const undelivered = Math.max(0, ...waiting)
    log.info({ undelivered }, toStopText(undelivered, config.dataDir))
    return { undelivered }
  }
  return { port, url, stop, metrics: metrics.text }
}

/** Each orphaned journal goes to exactly one worker: the folder's position decides which. */
function findOrphansOf({ dataDir, WORKERS: workers }: Config, worker?: WorkerContext): string[] {
  const all = findOrphanedJournals(dataDir, workers)
  return worker ? all.filter((_, at) => at % workers === worker.index) : all
}

type Shell = {
  logs: Logs
  metrics: Metrics
  worker: WorkerContext | undefined
  closer: Closer
}

/** Makes the boot app and the real app, which differ in the pipeline and in the health checks only. */
function createToApp(base: BaseServices, { logs, metrics, worker, closer }: Shell) {
  const { config, clientIp, platform } = base
  const deadlines = createDeadlines(config.BODY_TIMEOUT_MS)
  closer.add('body deadlines', deadlines.close)
  const options: RespondOptions = {
    toIncoming: createToIncoming({ clientIp, now, deadlines }),
    access: logs.access,
    observe: metrics.observe,
  }
  const contracts = createContracts({
    reportEventsMax: config.REPORT_EVENTS_MAX,
    telemetryEventsMax: config.TELEMETRY_EVENTS_MAX,
  })
  const isForwardedTls = createIsForwardedTls(config.TRUSTED_PROXIES)
  const { POSTHOG_JS_DIR: scriptsDir } = config
  const scripts = scriptsDir === undefined ? undefined : createScripts(scriptsDir)
  const boot = createPosthogBoot({ hasScripts: scripts !== undefined })
  return (ingest: Ingest, { health, platformHealth }: HealthChecks) =>
    createApp({
      contracts,
      respond: createRespond({ ...options, ingest }),
      answer: createAnswer(options),
      ...{ boot, scripts, health },
      metrics: worker?.gather ?? metrics.text,
      platform: { ...platform, isForwardedTls, health: platformHealth },
    })
}

function openListener(
  { config, isOriginAllowed, platform: { realtime } }: BaseServices,
  app: ReturnType<typeof createApp>,
  worker: WorkerContext | undefined,
) {
  const socket = worker ? createSocketElsewhere(realtime, config.REALTIME_PORT) : realtime
  return listen(
    { app, isOriginAllowed, socket },
    {
      port: config.PORT,
      hostname: config.HOST,
      tls: loadTls(config),
      reusePort: worker !== undefined,
    },
  )
}

export function loadTls({ TLS_CERT_FILE: cert, TLS_KEY_FILE: key }: Config) {
  if (cert === undefined && key === undefined) return
  if (cert === undefined || key === undefined)
    throw new SettingsError(['TLS_CERT_FILE and TLS_KEY_FILE go together'])
  return { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') }
}

/** The query interface is optional: the server also runs when its port is taken. */
async function openQueryServer(config: Config, log: Log) {
  if (config.CLICKHOUSE_URL !== undefined || config.EMBEDDED_CLICKHOUSE_PORT === 0) return
  try {
    const query = await startQueryServer({
      port: config.EMBEDDED_CLICKHOUSE_PORT,
      chdbPath: toEmbeddedFolder(config.dataDir),
      log,
      mode: 'read-only',
    })
    log.info({ clickhousePort: query.port }, 'the embedded ClickHouse answers queries')
    return query
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    log.warn(
      { reason },
      'the embedded ClickHouse cannot be queried; set another EMBEDDED_CLICKHOUSE_PORT, or 0 to turn queries off',
    )
    return
  }
}
