import { startThread } from '../../core/worker-thread.ts'
import type { Parameters, Summary } from '../chdb/connection.ts'
import { QueryError, toQueryError } from '../chdb/exceptions.ts'
import type { Mode, Settings } from './settings.ts'

/** A thread that runs one job at a time on chDB. */
export type Executor = {
  run(job: Job): Execution
  close(): void
}

export type Execution = {
  /** Resolves once the statement is parsed and accepted. Rejects with QueryError. */
  started: Promise<JobStart>
  /**
   * Settles when the statement has ended and the executor is free again. Rejects with QueryError.
   */
  finished: Promise<Summary>
  /** Sends rows of an insert. Resolves when chDB has taken them or the insert has failed. */
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
      failure = toQueryError(error ?? 'The thread that runs queries ended')
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
  const started = Promise.withResolvers<JobStart>()
  const finished = Promise.withResolvers<Summary>()
  // A caller that awaits only one of the two must not cause an unhandled rejection of the other.
  for (const { promise } of [started, finished]) promise.catch(() => {})
  let taken = Promise.withResolvers<void>()
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
    taken.resolve()
  }

  /**
   * After the end, the executor may already run the next job, which must not receive the message.
   */
  const sendUnlessOver: Send = (message, transfer) => {
    if (!isOver) send(message, transfer)
  }
  async function sendRows(bytes: Uint8Array): Promise<void> {
    if (isOver || bytes.length === 0) return
    taken = Promise.withResolvers()
    // Copy before the transfer: a slice of a Buffer shares its memory pool.
    const own = new Uint8Array(bytes)
    sendUnlessOver({ type: 'rows', bytes: own }, [own.buffer])
    await taken.promise
  }
  const execution = {
    started: started.promise,
    finished: finished.promise,
    sendRows,
    commit: () => sendUnlessOver({ type: 'commit' }),
    abandon: () => sendUnlessOver({ type: 'abandon' }),
  }
  return { execution, listener }
}

/** A statement for an executor, which writes the output to `outputFd` and closes it. */
export type Job = {
  /** A whole statement; for an insert, the part before FORMAT. */
  sql: string
  /** Format of the output unless the statement names one; for an insert, the format of its rows. */
  format: string
  isInsert: boolean
  database: string | undefined
  settings: Settings
  parameters: Parameters
  outputFd: number
}

/** Known before the statement runs. */
export type JobStart = { format: string; isRead: boolean }

/** One `run` at a time. The rows of an insert follow as `rows`, then `commit` or `abandon`. */
export type ToExecutor =
  | { type: 'run'; job: Job }
  | { type: 'rows'; bytes: Uint8Array }
  | { type: 'commit' }
  | { type: 'abandon' }

/** `more` asks for rows of an insert; `finished` or `failed` ends a run. */
export type FromExecutor =
  | { type: 'started'; start: JobStart }
  | { type: 'more' }
  | { type: 'finished'; summary: Summary }
  | { type: 'failed'; code: number; text: string }

export type ExecutorThread = {
  options: { path: string; mode: Mode }
  ready: undefined
  toThread: ToExecutor
  fromThread: FromExecutor
}
