import { availableParallelism } from 'node:os'
import type { Log } from '../../core/log.ts'
import { startThread } from '../../core/worker-thread.ts'
import { defaultUser, type User } from './handler.ts'
import type { ServerThread } from './server-worker.ts'
import type { Mode } from './settings.ts'

/** ClickHouse's HTTP interface over the embedded engine, on 127.0.0.1. */
export type QueryServer = { port: number; close(): Promise<void> }

export type QueryServerParts = {
  /** 0 picks a free one. */
  port: number
  /** The engine's folder. Other parts of this process may have it open, another process may not. */
  enginePath: string
  log: Log
  mode: Mode
  memoryBytesMax?: number
  executionMsMax?: number
  concurrencyMax?: number
  queueMax?: number
  user?: User
}

const gib = 1024 ** 3

/**
 * Starts it in a thread of its own, its queries in others. Rejects where the port is taken or the engine cannot be
 * loaded. A reader's query is bounded in memory, time and threads, and leaves one core to the rest of the process.
 */
export async function startQueryServer({ log, ...parts }: QueryServerParts): Promise<QueryServer> {
  const closed = Promise.withResolvers<void>()
  let isOpen = false
  const thread = startThread<ServerThread>({
    script: new URL('./server-worker.ts', import.meta.url).href,
    options: { ...toDefaults(parts.mode), ...parts },
    onMessage: () => closed.resolve(),
    onEnd(error) {
      if (isOpen) log.error({ reason: error }, 'the query interface failed')
      closed.resolve()
    },
  })

  async function close(): Promise<void> {
    isOpen = false
    thread.post('close')
    await closed.promise
    thread.terminate()
  }
  const port = await thread.ready
  isOpen = true
  return { port, close }
}

function toDefaults(mode: Mode) {
  const isReadOnly = mode === 'read-only'
  return {
    memoryBytesMax: gib,
    executionMsMax: 30_000,
    concurrencyMax: isReadOnly ? Math.min(4, Math.max(1, availableParallelism() - 1)) : 8,
    queueMax: isReadOnly ? 32 : 256,
    user: defaultUser,
  }
}
