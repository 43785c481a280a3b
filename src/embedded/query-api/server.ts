import { availableParallelism } from 'node:os'
import type { Log } from '../../core/log.ts'
import { startThread } from '../../core/worker-thread.ts'
import { defaultUser, type User } from './handler.ts'
import type { ServerThread } from './server-worker.ts'
import type { Mode } from './settings.ts'

/** ClickHouse's HTTP interface for the embedded ClickHouse, on 127.0.0.1. */
export type QueryServer = {
  port: number
  /** Resolves when queries are answered; until then each gets 503. Rejects if chDB cannot be opened. */
  opened: Promise<void>
  close(): Promise<void>
}

export type QueryServerOptions = {
  /** 0 picks a free port. */
  port: number
  /** Folder of the embedded ClickHouse. Only this process may have it open. */
  chdbPath: string
  log: Log
  mode: Mode
  /** chDB is opened after this. */
  openAfter?: Promise<unknown>
  memoryBytesMax?: number
  executionMsMax?: number
  concurrencyMax?: number
  queueMax?: number
  user?: User
}

const gib = 1024 ** 3

/**
 * Starts the server in a thread of its own and queries in further threads. Resolves when the port is
 * open, and rejects if it is taken. A read-only query is limited in memory, time and threads;
 * together these queries leave one core to the rest of the process.
 */
export async function startQueryServer({
  log,
  openAfter = Promise.resolve(),
  ...options
}: QueryServerOptions): Promise<QueryServer> {
  const opened = Promise.withResolvers<void>()
  const closed = Promise.withResolvers<void>()
  opened.promise.catch(() => {}) // The caller may have closed the server before.
  let isOpen = false
  const thread = startThread<ServerThread>({
    script: new URL('./server-worker.ts', import.meta.url).href,
    options: { ...toDefaults(options.mode), ...options },
    onMessage(message) {
      if (message.type === 'closed') closed.resolve()
      if (message.type === 'opened') opened.resolve()
      if (message.type === 'failed') opened.reject(new Error(message.reason))
    },
    onEnd(error) {
      if (isOpen)
        log.error(
          { reason: error },
          'the query interface ended; restart the server to query the embedded ClickHouse again',
        )
      opened.reject(new Error(error ?? 'the query interface ended'))
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
  openAfter.then(
    () => thread.post('open'),
    (error: unknown) => opened.reject(error),
  )
  return { port, opened: opened.promise, close }
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
