import { createCloser } from '../app/closer.ts'
import { keepDescriptors } from '../app/descriptors.ts'
import { createIntakeGate } from '../app/intake-gate.ts'
import { loadTls } from '../app/listener.ts'
import { startServer } from '../app/server.ts'
import { openBaseServices } from '../app/services.ts'
import type { Config } from '../config/config.ts'
import type { Answered, AskOthers } from '../console/processes.ts'
import { shareFor } from '../core/async.ts'
import { createDeadlines } from '../http/body.ts'
import { createRequestIds, createToIncoming } from '../http/incoming.ts'
import { listenRealtime } from '../http/realtime-port.ts'
import { createRefuse, createTrace } from '../http/respond.ts'
import { createLogs } from '../observability/log.ts'
import { createMetrics } from '../observability/metrics.ts'
import { toRealtimeReadings } from '../observability/realtime-readings.ts'
import type { FromChild, Role, Supervised, ToChild } from './messages.ts'

/** Runs one process of WORKERS: a worker or the realtime process. */
export async function startSupervised(config: Config, role: Role): Promise<Supervised> {
  const post = (message: FromChild) => void process.send?.(message)
  const gathered = new Map<number, (text: string) => void>()
  let asked = 0

  /** The supervisor collects the metrics of all processes, this one included. */
  async function gather(): Promise<{ type: string; text: string }> {
    asked += 1
    const id = asked
    const { promise, resolve } = Promise.withResolvers<string>()
    gathered.set(id, resolve)
    post({ type: 'gather', id })
    const text = await promise
    gathered.delete(id)
    return { type: textFormat, text }
  }

  const answered = new Map<number, (answers: Answered[]) => void>()
  const askOthers: AskOthers = async (question) => {
    asked += 1
    const id = asked
    const { promise, resolve } = Promise.withResolvers<Answered[]>()
    answered.set(id, resolve)
    post({ type: 'ask', id, question })
    const answers = await promise
    answered.delete(id)
    return answers
  }

  async function receive(message: ToChild): Promise<void> {
    if (message.type === 'gathered') gathered.get(message.id)?.(message.text)
    if (message.type === 'answers') answered.get(message.id)?.(message.answers)
    if (message.type === 'metrics') {
      const { text } = await ownMetrics()
      post({ type: 'metrics', id: message.id, text })
    }
    if (message.type === 'asked') {
      const answer = await (await running).answer?.(message.question)
      post({ type: 'answer', id: message.id, answer })
    }
  }

  // Every worker asks for the metrics of all, once a second at most.
  const ownMetrics = shareFor(freshMs, async () => (await running).metrics())
  process.on('message', receive)
  const running: Promise<Supervised> =
    role.kind === 'realtime'
      ? startRealtimeProcess(config)
      : startServer({ config, warnings: [], worker: { index: role.index, gather, askOthers } })
  const { metrics, stop, answer } = await running
  post({ type: 'ready' })
  return {
    metrics,
    ...(answer ? { answer } : {}),
    async stop(reason) {
      const report = await stop(reason)
      post({ type: 'stopped', report })
      return report
    },
  }
}

const freshMs = 500

/** The content type of Prometheus' text format. */
const textFormat = 'text/plain; version=0.0.4; charset=utf-8'

/** The process that holds every socket of a node with WORKERS. It accepts no events, so it opens no journal. */
async function startRealtimeProcess(config: Config): Promise<Supervised> {
  const logs = createLogs(config)
  const { log } = logs
  const closer = createCloser(log)
  const close = async (withinMs: number) => {
    await closer.close(withinMs)
    await logs.close()
  }
  try {
    const { dataDir, REALTIME_PORT: port, HOST: hostname, KEEP_ALIVE_SECONDS: idleSeconds } = config
    const base = await openBaseServices({ config, nodeDataDir: dataDir, log, closer })
    const { clientIp, platform } = base
    const { realtime } = platform
    const deadlines = createDeadlines(config.BODY_TIMEOUT_MS)
    closer.add('body deadlines', deadlines.close)
    const options = {
      toIncoming: createToIncoming({
        clientIp,
        now: Date.now,
        deadlines,
        nextId: createRequestIds(),
      }),
      access: logs.access,
      observe() {},
    }
    const metrics = createMetrics(toRealtimeReadings(realtime.stats))
    const gate = createIntakeGate(config.DRAIN_MS)
    const listening = listenRealtime(
      {
        socket: realtime,
        isLeaving: gate.isLeaving,
        refuse: createRefuse(options),
        trace: createTrace(options),
      },
      { port, hostname, tls: loadTls(config), idleSeconds },
    )
    closer.add('listener', listening.stop)
    // The shutdown notice goes out while the port is still open.
    closer.add('sockets', () => closer.closeEarly('realtime'))
    log.info({ port: listening.port, url: listening.url }, 'realtime listens')
    closer.add('descriptors', keepDescriptors({ ...listening, log }))
    const stop = async () => {
      await gate.leave()
      await close(config.SHUTDOWN_MS_MAX)
      return { undelivered: 0, orphaned: [] }
    }
    return { metrics: metrics.text, stop }
  } catch (error) {
    await close(0)
    throw error
  }
}
