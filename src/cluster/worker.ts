import { startServer } from '../app/server.ts'
import type { Config } from '../config/config.ts'
import { shareFor } from '../core/async.ts'
import type { FromChild, Role, Supervised, ToChild } from './messages.ts'
import { startRealtimeProcess } from './realtime-process.ts'

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

  // Every worker asks for the metrics of all, once a second at most.
  const ownMetrics = shareFor(freshMs, async () => (await running).metrics())
  process.on('message', async (message: ToChild) => {
    if (message.type === 'gathered') return gathered.get(message.id)?.(message.text)
    const { text } = await ownMetrics()
    post({ type: 'metrics', id: message.id, text })
  })
  const running: Promise<Supervised> =
    role.kind === 'realtime'
      ? startRealtimeProcess(config)
      : startServer({ config, warnings: [], worker: { index: role.index, gather } })
  const { metrics, stop } = await running
  post({ type: 'ready' })
  return {
    metrics,
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
