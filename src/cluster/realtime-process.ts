import { createCloser } from '../app/closer.ts'
import { keepDescriptors } from '../app/descriptors.ts'
import { loadTls } from '../app/listener.ts'
import { openBaseServices } from '../app/services.ts'
import type { Config } from '../config/config.ts'
import { createDeadlines } from '../http/body.ts'
import { createRequestIds, createToIncoming } from '../http/incoming.ts'
import { listenRealtime } from '../http/realtime-port.ts'
import { createRefuse, createTrace } from '../http/respond.ts'
import { createLogs } from '../observability/log.ts'
import { createMetrics } from '../observability/metrics.ts'
import { toRealtimeReadings } from '../observability/realtime-readings.ts'
import type { Supervised } from './messages.ts'

/** The process that holds every socket of a node with WORKERS. It accepts no events, so it opens no journal. */
export async function startRealtimeProcess(config: Config): Promise<Supervised> {
  const logs = createLogs({ level: config.LOG_LEVEL, access: config.ACCESS_LOG })
  const { log } = logs
  const closer = createCloser(log)
  const close = async (withinMs: number) => {
    await closer.close(withinMs)
    logs.close()
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
    const listening = listenRealtime(
      { socket: realtime, refuse: createRefuse(options), trace: createTrace(options) },
      { port, hostname, tls: loadTls(config), idleSeconds },
    )
    closer.add('listener', listening.stop)
    // The shutdown notice goes out while the port is still open.
    closer.add('sockets', () => closer.closeEarly('realtime'))
    log.info({ port: listening.port, url: listening.url }, 'realtime listens')
    closer.add('descriptors', keepDescriptors({ ...listening, log }))
    const stop = () => close(config.SHUTDOWN_MS_MAX).then(() => ({ undelivered: 0 }))
    return { metrics: metrics.text, stop }
  } catch (error) {
    await close(0)
    throw error
  }
}
