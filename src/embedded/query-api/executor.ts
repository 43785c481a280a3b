import { startThread } from '../../core/worker-thread.ts'
import type { Parameters, Summary } from '../chdb/connection.ts'
import { asQueryError, QueryError } from '../chdb/exceptions.ts'
import type { Mode, Settings } from './settings.ts'

/** A thread of the engine's. Runs one job at a time. */
export type Executor = {
  run(job: Job): Execution
  close(): void
}

export type Execution = {
  /** Resolves once the statement was understood. Rejects with QueryError. */
  started: Promise<Start>
  /** Settles when the statement has ended and the executor is free. Rejects with QueryError. */
  finished: Promise<Summary>
  /** Sends rows of an insert; resolves when the engine took them, or failed. */
  sendRows(bytes: Uint8Array): Promise<void>
  commit(): void
  abandon(): void
}

/** Starts the thread. Rejects if chDB cannot be loaded. */
export async function startExecutor(options: ExecutorThread['options']): Promise<Executor> {
  let current: Listener | undefined
  let failure: QueryError | undefined
  const thread = startThread<ExecutorThread>({
    script: new URL('./executor-worker.ts', import.meta.url).href,
    options,
    onMessage: (message) => current?.(message),
    onEnd(error) {
      failure = asQueryError(error ?? 'The thread that runs queries ended')
      current?.(toFailed(failure))
    },
  })
  await thread.ready
  return {
    run(job) {
      const { execution, listener } = createExecution(thread.post)
      current = listener
      // A message to a thread that has ended would stay without a reply.
      if (failure) listener(toFailed(failure))
      else thread.post({ type: 'run', job })
      return execution
    },
    close: thread.terminate,
  }
}

const toFailed = ({ code, message }: QueryError): FromExecutor => ({
  ...{ type: 'failed', code, text: message },
})

type Listener = (message: FromExecutor) => void
type Send = (message: ToExecutor, transfer?: ArrayBuffer[]) => void

function createExecution(send: Send): { execution: Execution; listener: Listener } {
  const started = Promise.withResolvers<Start>()
  const finished = Promise.withResolvers<Summary>()
  // Whoever asks only one of them still hears of the failure; nobody has to ask both.
  for (const { promise } of [started, finished]) promise.catch(() => {})
  let room = Promise.withResolvers<void>()
  let isOver = false

  function listener(message: FromExecutor): void {
    if (message.type === 'started') started.resolve(message.start)
    if (message.type === 'finished' || message.type === 'failed') isOver = true
    if (message.type === 'finished') finished.resolve(message.summary)
    if (message.type === 'failed') {
      const error = new QueryError(message.code, message.text)
      started.reject(error)
      finished.reject(error)
    }
    room.resolve()
  }

  /** What comes too late must not reach the executor: it may be at the next job already. */
  const sendInTime: Send = (message, transfer) => {
    if (!isOver) send(message, transfer)
  }
  async function sendRows(bytes: Uint8Array): Promise<void> {
    if (isOver || bytes.length === 0) return
    room = Promise.withResolvers()
    // A copy of its own to give away: slicing a Buffer would share the pool it came from.
    const own = new Uint8Array(bytes)
    sendInTime({ type: 'rows', bytes: own }, [own.buffer])
    await room.promise
  }
  const execution = {
    started: started.promise,
    finished: finished.promise,
    sendRows,
    commit: () => sendInTime({ type: 'commit' }),
    abandon: () => sendInTime({ type: 'abandon' }),
  }
  return { execution, listener }
}

/** What an executor is to run. Its output is written to `outputFd`, which it closes. */
export type Job = {
  /** A whole statement; for an insert, what stands before FORMAT. */
  sql: string
  /** Of the output where the statement names none; for an insert, of its rows. */
  format: string
  isInsert: boolean
  database: string | undefined
  settings: Settings
  parameters: Parameters
  outputFd: number
}

/** What is known of a statement before it runs. */
export type Start = { format: string; isRead: boolean }

/** One `run` at a time. The rows of an insert follow as `rows`, then `commit` or `abandon`. */
export type ToExecutor =
  | { type: 'run'; job: Job }
  | { type: 'rows'; bytes: Uint8Array }
  | { type: 'commit' }
  | { type: 'abandon' }

/** `more` asks for rows of an insert; `finished` or `failed` ends a run. */
export type FromExecutor =
  | { type: 'started'; start: Start }
  | { type: 'more' }
  | { type: 'finished'; summary: Summary }
  | { type: 'failed'; code: number; text: string }

export type ExecutorThread = {
  options: { path: string; mode: Mode }
  ready: undefined
  toThread: ToExecutor
  fromThread: FromExecutor
}
