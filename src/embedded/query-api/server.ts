import { availableParallelism } from 'node:os'
import type { Log } from '../../core/log.ts'
import { startThread } from '../../core/worker-thread.ts'
import { defaultUser, type User } from './handler.ts'
import type { ServerThread } from './server-worker.ts'
import type { Mode } from './settings.ts'

/** ClickHouse's HTTP interface for the embedded ClickHouse, on 127.0.0.1. */
export type QueryServer = { port: number; close(): Promise<void> }

export type QueryServerOptions = {
  /** 0 picks a free port. */
  port: number
  /** Folder of the embedded ClickHouse. Only this process may have it open. */
  chdbPath: string
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
 * Starts the server in a thread of its own and queries in further threads. Rejects if the port is
 * taken or chDB cannot be loaded. A read-only query is limited in memory, time and threads;
 * together these queries leave one core to the rest of the process.
 */
export async function startQueryServer({
  log,
  ...options
}: QueryServerOptions): Promise<QueryServer> {
  const closed = Promise.withResolvers<void>()
  let isOpen = false
  const thread = startThread<ServerThread>({
    script: new URL('./server-worker.ts', import.meta.url).href,
    options: { ...toDefaults(options.mode), ...options },
    onMessage: () => closed.resolve(),
    onEnd(error) {
      if (isOpen)
        log.error(
          { reason: error },
          'the query interface ended; restart the server to query the embedded ClickHouse again',
        )
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
