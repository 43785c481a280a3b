import { toStopText } from '../app/intake-gate.ts'
import { toIntroduction } from '../app/introduction.ts'
import type { StopReport } from '../app/server.ts'
import type { Config } from '../config/config.ts'
import { createLogs } from '../observability/log.ts'
import { createAskWorkers } from './ask-workers.ts'
import { type Child, startChild } from './child.ts'
import { createMetricsGatherer } from './gather.ts'
import { type FromChild, type Role, toArgument } from './messages.ts'

type Supervisor = {
  /** Every process finishes its own work. The rest stays in the journals. */
  stop(signal: NodeJS.Signals): Promise<StopReport>
}

type SupervisorOptions = {
  config: Config
  warnings: readonly string[]
  /** Starts a child when its role is appended. */
  command: readonly string[]
  environment: Record<string, string | undefined>
}

type Member = { key: string; child: Child }

/** Starts WORKERS processes on one port, and one for realtime. Rejects when one of them cannot start. */
export async function startSupervisor(options: SupervisorOptions): Promise<Supervisor> {
  const { config, warnings } = options
  const { log, introduce, close: closeLog } = createLogs({ ...config, ACCESS_LOG: false })
  const port = config.PORT || freePort(config.HOST)
  const realtimePort = config.REALTIME_PORT || freePort(config.HOST)
  const environment = {
    ...options.environment,
    PORT: String(port),
    REALTIME_PORT: String(realtimePort),
  }
  const gatherer = createMetricsGatherer()
  const asking = createAskWorkers()
  const members = new Map<string, Member>()
  const total: StopReport = { undelivered: 0, orphaned: [] }

  function onMessage(key: string, message: FromChild): void {
    if (message.type === 'metrics') gatherer.answered(key, message)
    if (message.type === 'gather') void reply(key, message.id)
    if (message.type === 'ask') void replyToConsole(key, message)
    if (message.type === 'answer') asking.answered(key, message)
    if (message.type === 'stopped') {
      total.undelivered += message.report.undelivered
      total.orphaned.push(...message.report.orphaned)
    }
  }

  async function reply(key: string, id: number): Promise<void> {
    const all = [...members.values()]
    const children = all.map(({ key, child }) => ({ key, ...child }))
    const text = await gatherer.text(children, toOwnMetrics(all))
    members.get(key)?.child.send({ type: 'gathered', id, text })
  }

  async function replyToConsole(
    key: string,
    { id, question }: Extract<FromChild, { type: 'ask' }>,
  ) {
    const others = [...members.values()].filter((one) => one.key !== key && isWorker(one))
    const children = others.map(({ key, child }) => ({ key, ...child }))
    const answers = await asking.ask(children, question)
    members.get(key)?.child.send({ type: 'answers', id, answers })
  }

  function add(role: Role): Promise<void> {
    const key = toArgument(role)
    const child = startChild({
      ...options,
      environment,
      role,
      log,
      onMessage: (message) => onMessage(key, message),
      onEnded: () => gatherer.ended(key),
    })
    members.set(key, { key, child })
    return child.started
  }

  async function stop(signal: NodeJS.Signals): Promise<StopReport> {
    log.info({ signal }, 'stopping every process')
    await Promise.all([...members.values()].map(({ child }) => child.stop(signal)))
    log.info({ undelivered: total.undelivered }, toStopText(total, config.dataDir))
    await closeLog()
    return total
  }

  log.info({ port, realtimePort, workers: config.WORKERS, pid: process.pid }, 'supervising')
  for (const warning of warnings) log.warn({}, warning)
  const workers = Array.from({ length: config.WORKERS }, (_, index): Role => {
    return { kind: 'worker', index }
  })
  try {
    // The realtime process starts first: it creates files that all share, such as a development key.
    await add({ kind: 'realtime' })
    await Promise.all(workers.map(add))
  } catch (error) {
    await stop('SIGTERM')
    throw error
  }
  log.info({ port, workers: config.WORKERS }, 'every process is ready')
  const chosen = { ...config, REALTIME_PORT: realtimePort }
  introduce(toIntroduction({ config: chosen, port, queryPort: undefined }))
  return { stop }
}

const isWorker = ({ key }: Member) => key !== toArgument({ kind: 'realtime' })

/** The children share one port, so it is chosen before the first of them listens. */
function freePort(hostname: string): number {
  const probe = Bun.listen({ hostname, port: 0, socket: { data() {} } })
  const { port } = probe
  probe.stop(true)
  return port
}

function toOwnMetrics(members: readonly Member[]): string {
  const ready = members.filter(({ child }) => child.isReady()).length
  const restarts = members.reduce((sum, { child }) => sum + child.restarts(), 0)
  return [
    '# HELP spillway_processes_ready Processes under the supervisor that are ready',
    '# TYPE spillway_processes_ready gauge',
    `spillway_processes_ready ${ready}`,
    '# HELP spillway_process_restarts_total Restarts of processes that ended unexpectedly',
    '# TYPE spillway_process_restarts_total counter',
    `spillway_process_restarts_total ${restarts}`,
    '',
  ].join('\n')
}
