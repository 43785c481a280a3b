import { createCloser } from '../app/closer.ts'
import { loadTls } from '../app/server.ts'
import { openBaseServices } from '../app/services.ts'
import type { Config } from '../config/config.ts'
import { listenRealtime } from '../http/realtime-port.ts'
import { createLogs } from '../observability/log.ts'
import { createMetrics } from '../observability/metrics.ts'
import { toRealtimeReadings } from '../observability/realtime-readings.ts'
import type { Supervised } from './messages.ts'

/** The process that holds every socket of a node with WORKERS. It accepts no events, so it opens no journal. */
export async function startRealtimeProcess(config: Config): Promise<Supervised> {
  const logs = createLogs({ level: config.LOG_LEVEL, access: false })
  const { log } = logs
  const closer = createCloser(log)
  const close = async (withinMs: number) => {
    await closer.close(withinMs)
    logs.close()
  }
  try {
    const { dataDir, REALTIME_PORT: port, HOST: hostname } = config
    const { platform } = await openBaseServices({ config, nodeDataDir: dataDir, log, closer })
    const { realtime } = platform
    const metrics = createMetrics(toRealtimeReadings(realtime.stats))
    const listening = listenRealtime(realtime, { port, hostname, tls: loadTls(config) })
    closer.add('listener', listening.stop)
    // The shutdown notice goes out while the port is still open.
    closer.add('sockets', () => closer.closeEarly('realtime'))
    log.info({ port: listening.port, url: listening.url }, 'realtime listens')
    const stop = () => close(config.SHUTDOWN_MS_MAX).then(() => ({ undelivered: 0 }))
    return { metrics: metrics.text, stop }
  } catch (error) {
    await close(0)
    throw error
  }
}
