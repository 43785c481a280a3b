import type { Config } from '../config/config.ts'
import { findOrphanedJournals, toShare } from '../config/per-worker.ts'
import type { Console } from '../console/console.ts'
import { createObservations } from '../console/observations.ts'
import { createPageFiles } from '../console/page-files.ts'
import type { AskOthers, Question } from '../console/processes.ts'
import { createPosthogBoot } from '../contracts/capture/posthog-boot.ts'
import { createContracts, toContractLimits } from '../contracts/registry.ts'
import { shareFor } from '../core/async.ts'
import { createDeadlines } from '../http/body.ts'
import { createIsForwardedTls } from '../http/client-ip.ts'
import { createRequestIds, createToIncoming } from '../http/incoming.ts'
import { createIsAdminPortUser, createIsConsoleUser, createIsOperator } from '../http/operators.ts'
import { createAnswer, createRefuse, createRespond, createTrace } from '../http/respond.ts'
import { createAdminApp, createApp } from '../http/routes.ts'
import { createScripts } from '../http/scripts.ts'
import type { TurnScheduler } from '../ingest/load-shedding/turn-scheduler.ts'
import type { Ingest } from '../ingest/pipeline.ts'
import { createLogs, type Logs } from '../observability/log.ts'
import { createMetrics, type Metrics } from '../observability/metrics.ts'
import { toRealtimeReadings } from '../observability/realtime-readings.ts'
import { createBootIngest } from './boot-ingest.ts'
import { type Closer, createCloser } from './closer.ts'
import { answerStarting, createServerConsole } from './console.ts'
import { keepDescriptors } from './descriptors.ts'
import { createDrain } from './drain.ts'
import { createIntakeGate, toStopText } from './intake-gate.ts'
import { toIntroduction, waitForSinks } from './introduction.ts'
import { type Apps, openListener } from './listener.ts'
import {
  createBootChecks,
  createChecks,
  type HealthChecks,
  toServerReadings,
} from './observability.ts'
import { createOrphanDelivery } from './orphaned-journals.ts'
import { warnOfReadable } from './private-files.ts'
import { openQueryServer, reportQueryServer } from './query-server.ts'
import { type BaseServices, openBaseServices, openServices } from './services.ts'

const now = Date.now

type RunningServer = {
  port: number
  url: string
  /** Is unready for DRAIN_MS, then finishes requests and ships for at most SHUTDOWN_MS_MAX. The rest stays in the journal. */
  stop(reason: string): Promise<StopReport>
  metrics: Metrics['text']
  /** Answers a question of another process's console. */
  answer(question: Question): Promise<unknown>
}

/** `undelivered`: records in the journal that a sink does not have yet. The next start ships them. */
export type StopReport = {
  undelivered: number
  /** Folders of journals whose process no longer runs, and which some sink lacks. Their events are not counted. */
  orphaned: string[]
}

/** The values that the supervisor gives to one of WORKERS processes. */
type WorkerContext = {
  index: number
  /** The metrics of all processes together. */
  gather: Metrics['text']
  askOthers: AskOthers
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
  const logs = createLogs(options.config)
  const closer = (options.createCloser ?? createCloser)(logs.log)
  try {
    const server = await open({ ...options, logs, closer })
    return { ...server, stop: (reason) => server.stop(reason).finally(logs.close) }
  } catch (error) {
    await closer.close(0)
    await logs.close()
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
  const shell = createShell(base, { logs, metrics, worker, closer })
  const boot = createBootIngest()
  const bootApps = shell.toApps(boot.ingest, createBootChecks(base), answerStarting)
  const listening = openListener(base, shell, bootApps)
  closer.add('listener', (withinMs) => {
    boot.close()
    return listening.stop(withinMs)
  })
  const { port, url } = listening
  // The first line: with PORT=0 it is the only source of the port.
  log.info({ port, url, pid: process.pid }, 'listening')
  base.platform.introduce()
  closer.add('descriptors', keepDescriptors({ ...listening, log }))
  warnOfReadable(config, given.dataDir, log)
  for (const warning of [...warnings, ...toWarnings(config)]) log.warn({}, warning)

  const gate = createIntakeGate(config.DRAIN_MS)
  // Its port is open from the start too, and answers 503 until the data is open.
  const dataOpened = Promise.withResolvers<void>()
  dataOpened.promise.catch(() => {})
  const querying = openQueryServer(config, { log, openAfter: dataOpened.promise })
  closer.add('query server', async () => (await querying)?.close())
  const observations = createObservations()
  const { startCommit } = metrics
  const { observer } = observations
  const services = await openServices({ base, startCommit, observer, gate, closer })
  const { storage } = services
  const orphans = createOrphanDelivery({
    folders: findOrphansOf(given, worker),
    ...{ config, storage, log, now },
  })
  closer.add('orphaned journals', orphans.close)
  // The embedded ClickHouse opens its data in the shippers' thread first.
  storage.started.then(dataOpened.resolve, dataOpened.reject)
  closer.add('requests', async () => {
    gate.close()
    await closer.closeEarly('realtime')
    await closer.closeEarly('listener')
  })
  metrics.add(toServerReadings(services))
  shell.paceMetrics(services.scheduler)
  const { readMetrics, contracts, nextId } = shell
  const queryPort = (await querying)?.port
  const console = createServerConsole(services, {
    ...{ observations, readMetrics, worker, queryPort, contracts, nextId },
    drain: createDrain(services, { gate, orphans, isSupervised: worker !== undefined }),
  })
  closer.add('console', async () => console.close())
  listening.replaceApps(shell.toApps(services.ingest, createChecks(services), console.respond))
  boot.open(services.ingest)
  log.info({ durability: config.DURABILITY, dataDir: config.dataDir }, 'ready')
  const delivering = storage.started.then(async () => {
    await reportQueryServer(await querying, log)
    orphans.start()
  })
  // On a full disk the delivery starts later, and the server can be stopped meanwhile.
  delivering.catch(() => {})
  await Promise.race([delivering, storage.shipping.withoutDisk])
  if (!worker)
    void waitForSinks(() => storage.shipping.health()).then(() =>
      logs.introduce(toIntroduction({ config, port, queryPort, ...base.projects.view() })),
    )
  async function stop(reason: string): Promise<StopReport> {
    log.info({ reason }, 'stopping')
    await gate.leave()
    await closer.close(config.SHUTDOWN_MS_MAX)
    const waiting = Object.values(storage.shipping.stats().sinks).map((sink) => sink.waiting)
    const report = { undelivered: Math.max(0, ...waiting), orphaned: orphans.undelivered() }
    log.info({ undelivered: report.undelivered }, toStopText(report, config.dataDir))
    return report
  }
  return { port, url, stop, metrics: metrics.text, answer: console.answer }
}

function toWarnings({ NODE_ENV, PUBLIC_URL, DURABILITY }: Config): string[] {
  const isUnconfigured = NODE_ENV === 'production' && PUBLIC_URL === undefined
  return [
    ...(isUnconfigured ? ['PUBLIC_URL is not set: /api/sdk/config answers 503 in production'] : []),
    ...(DURABILITY === 'memory' ? ['DURABILITY=memory: a crash loses events'] : []),
  ]
}

/** Each orphaned journal goes to exactly one worker: the folder's position decides which. */
function findOrphansOf({ dataDir, WORKERS: workers }: Config, worker?: WorkerContext): string[] {
  const all = findOrphanedJournals(dataDir, workers)
  return worker ? all.filter((_, at) => at % workers === worker.index) : all
}

type ShellOptions = {
  logs: Logs
  metrics: Metrics
  worker: WorkerContext | undefined
  closer: Closer
}

/**
 * The parts around the pipeline. `toApps` makes the boot apps and the real apps, which differ in the pipeline and in the
 * health checks only.
 */
function createShell(base: BaseServices, { logs, metrics, worker, closer }: ShellOptions) {
  const { config, clientIp, platform } = base
  const deadlines = createDeadlines(config.BODY_TIMEOUT_MS)
  closer.add('body deadlines', deadlines.close)
  const nextId = createRequestIds()
  const options = {
    toIncoming: createToIncoming({ clientIp, now, deadlines, nextId }),
    access: logs.access,
    observe: metrics.observe,
  }
  const { isForwardedTls, ...peerRules } = toPeerRules(base)
  const refuse = createRefuse(options)
  const paced = createPacedMetrics(worker?.gather ?? metrics.text)
  const contracts = createContracts(toContractLimits(config))
  const { POSTHOG_JS_DIR: scriptsDir } = config
  const scripts = scriptsDir === undefined ? undefined : createScripts(scriptsDir)
  const boot = createPosthogBoot({ canRecord: scripts?.canRecord === true })
  const trace = createTrace(options)
  const consolePage = createPageFiles(logs).respond
  const toApps = (
    ingest: Ingest,
    { health, platformHealth }: HealthChecks,
    console: Console['respond'],
  ): Apps => {
    const appOptions = {
      contracts,
      respond: createRespond({ ...options, ingest }),
      answer: createAnswer(options),
      ...{ refuse, trace, ...peerRules, boot, scripts, health, console, consolePage },
      metrics: paced.text,
      platform: { ...platform, isForwardedTls, health: platformHealth },
    }
    return { app: createApp(appOptions), adminApp: createAdminApp(appOptions) }
  }
  const readMetrics = paced.readInTurn
  return { toApps, paceMetrics: paced.pace, readMetrics, contracts, refuse, trace, nextId, worker }
}

function toPeerRules({ config, platform: { auth } }: BaseServices) {
  const { ADMIN_TOKEN: token, TRUSTED_PROXIES: trustedProxies, NODE_ENV: environment } = config
  return {
    isOperator: createIsOperator({ token, trustedProxies }),
    isAdminPortUser: createIsAdminPortUser({ token, publicUrl: config.PUBLIC_URL }),
    isConsoleUser: createIsConsoleUser({
      ...{ token, trustedProxies, isProduction: environment === 'production' },
      async hasPermission(authorization) {
        const authentication = await auth.authenticate(authorization)
        if ('fault' in authentication) return false
        return authentication.identity.permissions.includes('console')
      },
    }),
    isForwardedTls: createIsForwardedTls(trustedProxies),
  }
}

const metricsFreshMs = 1000

/** One text a second, whoever asks. Measured: a text takes the serving thread 1 to 4 ms, so it waits for its turn, as events do. */
function createPacedMetrics(read: Metrics['text']) {
  let scheduler: Pick<TurnScheduler, 'take'> | undefined
  async function readInTurn() {
    try {
      await scheduler?.take()
    } catch {
      // Events are shed now. An overload must be visible, and this is one text a second.
    }
    return await read()
  }
  return {
    text: shareFor(metricsFreshMs, readInTurn),
    /** For the console's history, so that its samples do not make the texts of others older. */
    readInTurn,
    pace(by: Pick<TurnScheduler, 'take'>) {
      scheduler = by
    },
  }
}
