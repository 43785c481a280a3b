import { closeSync } from 'node:fs'
import { withTimeLimit } from '../../core/async.ts'
import type { ChdbConnection } from '../chdb/connection.ts'
import { createQueryError } from '../chdb/exceptions.ts'
import type { Native } from '../chdb/native.ts'
import type { Execution, Executor, Job } from './executor.ts'
import { toLiteral } from './settings.ts'

/** A running statement with its output. */
export type Query = Execution & { output: Output }

export type Launched = {
  query: Query
  /**
   * Settles when the executor is free again. A call that cannot be cancelled may end after its
   * query.
   */
  released: Promise<unknown>
  /**
   * The client has disconnected: cancels a read or an uncommitted insert. Other writes run to their
   * end.
   */
  cancelForClient(): void
}

type LaunchOptions = {
  job: Omit<Job, 'outputFd'>
  executor: Executor
  /** A connection that runs no long statement. */
  control: ChdbConnection
  native: Native
  /** A longer query is cancelled. */
  readMsMax: number
}

/** Starts a job on an executor. */
export function launch({ job, executor, control, native, readMsMax }: LaunchOptions): Launched {
  const { writeFd, output } = openPipe(native)
  const execution = executor.run({ ...job, outputFd: writeFd })
  let isCommitted = false

  function cancel(): void {
    const kill = () => killQuery(control, job.settings.log_comment ?? '')
    kill()
    const repeat = setInterval(kill, killEveryMs)
    whenSettled(execution.finished, () => clearInterval(repeat))
    void output.discard()
  }
  async function cancelForClient(): Promise<void> {
    if (job.isInsert && !isCommitted) execution.abandon()
    const { isRead } = await execution.started.catch(() => ({ isRead: false }))
    if (isRead) cancel()
  }
  function commit(): void {
    isCommitted = true
    execution.commit()
  }
  const query = withDeadline({ ...execution, output, commit }, { readMsMax, cancel })
  return { query, released: execution.finished, cancelForClient: () => void cancelForClient() }
}

/**
 * A killed query ends within milliseconds. Repeat, because a kill before the query is registered
 * has no effect.
 */
const killEveryMs = 50
/** After cancellation a query that does not end is reported as timed out. */
const giveUpMs = 5_000

function killQuery(control: ChdbConnection, logComment: string): void {
  control.query(`KILL QUERY WHERE Settings['log_comment'] = ${toLiteral(logComment)} ASYNC`)
}

type Deadline = { readMsMax: number; cancel(): void }

/**
 * The query, cancelled when its time is over. A single call of a slow function cannot be cancelled:
 * then the query rejects, and its executor stays occupied until the call ends.
 */
function withDeadline(query: Query, { readMsMax, cancel }: Deadline): Query {
  if (!Number.isFinite(readMsMax)) return query
  const timeout = createQueryError('TIMEOUT_EXCEEDED', `Timeout exceeded: ${readMsMax} ms`)
  const gaveUp = Promise.withResolvers<never>()
  let isCancelled = false
  const giveUp = () => {
    gaveUp.reject(timeout)
    throw timeout
  }
  const finished = withTimeLimit(query.finished, readMsMax, () => {
    isCancelled = true
    cancel()
    return withTimeLimit(query.finished, giveUpMs, giveUp)
  }).catch((error) => {
    throw isCancelled ? timeout : error
  })
  const started = Promise.race([query.started, gaveUp.promise])
  for (const promise of [started, finished, gaveUp.promise]) promise.catch(() => {})
  const untilGivenUp = gaveUp.promise.catch(() => undefined)
  const read = () => Promise.race([query.output.read(), untilGivenUp])
  return { ...query, started, finished, output: { ...query.output, read } }
}

const whenSettled = (promise: Promise<unknown>, then: () => void) => promise.then(then, then)

/** Output of an executor. Unread output blocks the executor. */
type Output = {
  /** The next chunk; undefined at the end. */
  read(): Promise<Uint8Array<ArrayBuffer> | undefined>
  /** Reads and drops the rest, so that the executor does not block on a full pipe. */
  discard(): Promise<void>
}

/**
 * A pipe between threads. The writer closes `writeFd`; the reader closes its own end after the
 * output.
 */
function openPipe(native: Native): { writeFd: number; output: Output } {
  const ends = new Int32Array(2)
  if (native.pipe(ends) !== 0)
    throw new Error('cannot open a pipe; the limit of open files may be reached (ulimit -n)')
  const [readFd, writeFd] = [ends[0]!, ends[1]!]
  const reader = Bun.file(readFd).stream().getReader()
  let isOver = false

  async function read(): Promise<Uint8Array<ArrayBuffer> | undefined> {
    if (isOver) return undefined
    const { value, done } = await reader.read()
    if (!done) return value
    if (!isOver) closeSync(readFd)
    isOver = true
    return undefined
  }
  async function discard(): Promise<void> {
    while ((await read()) !== undefined);
  }
  return { writeFd, output: { read, discard } }
}
