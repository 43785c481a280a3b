import { availableParallelism } from 'node:os'
import type { Log } from '../../core/log.ts'
import type { FromServer, ServerOptions } from './server-worker.ts'
import type { Mode } from './settings.ts'
import { defaultUser, type User } from './user.ts'

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
export function startQueryServer({ log, ...parts }: QueryServerParts): Promise<QueryServer> {
  const options: ServerOptions = { ...toDefaults(parts.mode), ...parts }
  const worker = new Worker(new URL('./server-worker.ts', import.meta.url))
  const started = Promise.withResolvers<QueryServer>()
  const closed = Promise.withResolvers<void>()

  async function close(): Promise<void> {
    worker.postMessage({ type: 'close' })
    await closed.promise
    worker.terminate()
  }
  worker.onmessage = ({ data }: MessageEvent<FromServer>) => {
    if (data.type === 'listening') started.resolve({ port: data.port, close })
    if (data.type === 'closed') closed.resolve()
    if (data.type === 'failed') {
      worker.terminate()
      started.reject(new Error(data.reason))
    }
  }
  worker.onerror = ({ message }) => {
    log.error({ reason: message }, 'the query interface failed')
    started.reject(new Error(message))
    closed.resolve()
  }
  worker.postMessage({ type: 'start', options })
  return started.promise
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
