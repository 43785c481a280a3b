import { loadTls, openServerPlatform } from '../app/server.ts'
import { createFrame } from '../app/services.ts'
import type { Config } from '../config/config.ts'
import { listenRealtime } from '../http/realtime-port.ts'
import { createLogs } from '../observability/log.ts'
import { createMetrics } from '../observability/metrics.ts'
import { toRealtimeReadings } from '../observability/readings.ts'
import type { Supervised } from './worker.ts'

/** The process that holds every socket of a node with workers. It takes no events, so it has no journal. */
export async function startRealtimeProcess(config: Config): Promise<Supervised> {
  const { log, flush } = createLogs({ level: config.LOG_LEVEL, access: false })
  const frame = createFrame(config, log)
  const platform = await openServerPlatform(frame, config.dataDir)
  const { realtime } = platform
  const metrics = createMetrics({ byContract: {}, readings: toRealtimeReadings(realtime.stats) })
  const place = { port: config.REALTIME_PORT, hostname: config.HOST, tls: loadTls(config) }
  const listening = listenRealtime(realtime, place)
  log.info({ port: listening.port, url: listening.url }, 'realtime listens')

  async function stop(): Promise<void> {
    await platform.close()
    await listening.stop(config.SHUTDOWN_MS_MAX)
    frame.projects.close()
    frame.redis?.close()
    frame.streams?.close()
    flush()
  }
  return { metrics: metrics.text, stop }
}
