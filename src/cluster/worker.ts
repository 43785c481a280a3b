import { startServer } from '../app/server.ts'
import type { Config } from '../config/config.ts'
import type { Metrics } from '../observability/metrics.ts'
import type { FromChild, Role, ToChild } from './messages.ts'
import { startRealtimeProcess } from './realtime-process.ts'

export type Supervised = { metrics: Metrics['text']; stop(reason: string): Promise<void> }

/** What a supervised process runs. It also ends, in order, when its supervisor is gone. */
export async function startSupervised(config: Config, role: Role): Promise<Supervised> {
  const post = (message: FromChild) => void process.send?.(message)
  const gathered = new Map<number, (text: string) => void>()
  let asked = 0

  /** The supervisor asks everybody, this process included. */
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

  process.on('message', async (message: ToChild) => {
    if (message.type === 'gathered') return gathered.get(message.id)?.(message.text)
    const { text } = await (await running).metrics()
    post({ type: 'metrics', id: message.id, text })
  })
  const running: Promise<Supervised> =
    role.kind === 'realtime'
      ? startRealtimeProcess(config)
      : startServer(config, [], { index: role.index, gather })
  await running
  post({ type: 'ready' })
  return running
}

/** Prometheus' text format, as every process writes it. */
const textFormat = 'text/plain; version=0.0.4; charset=utf-8'
