import { closeSync } from 'node:fs'
import { withTimeLimit } from '../../core/async.ts'
import type { Connection } from '../chdb/connection.ts'
import { refusal } from '../chdb/exceptions.ts'
import type { Native } from '../chdb/native.ts'
import type { Execution, Executor, Job } from './executor.ts'
import { toLiteral } from './settings.ts'

/** A statement under way, as its client sees it. */
export type Query = Execution & { output: Output }

export type Launched = {
  query: Query
  /** Settles when the executor is free again: at the end, or, for what cannot be cancelled, after it. */
  released: Promise<unknown>
  /** Nobody waits for it any more: ends a read, and an insert that is not committed yet. Writes are seen through. */
  leave(): void
}

type LaunchParts = {
  job: Omit<Job, 'outputFd'>
  executor: Executor
  /** A connection that is free at any time. */
  control: Connection
  native: Native
  /** A query that takes longer is cancelled, in ms. */
  readMsMax: number
}

/** Starts a job on an executor. */
export function launch({ job, executor, control, native, readMsMax }: LaunchParts): Launched {
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
  async function leave(): Promise<void> {
    if (job.isInsert && !isCommitted) execution.abandon()
    const { isRead } = await execution.started.catch(() => ({ isRead: false }))
    if (isRead) cancel()
  }
  function commit(): void {
    isCommitted = true
    execution.commit()
  }
  const inTime = withDeadline({ ...execution, output, commit }, { readMsMax, cancel })
  return { query: inTime, released: execution.finished, leave: () => void leave() }
}

/** A killed query leaves the engine within milliseconds. A kill that came before the engine knew it is repeated. */
const killEveryMs = 50
/** From its cancellation until its client is told at the latest, in ms. */
const giveUpMs = 5_000

function killQuery(control: Connection, logComment: string): void {
  control.query(`KILL QUERY WHERE Settings['log_comment'] = ${toLiteral(logComment)} ASYNC`)
}

type Deadline = { readMsMax: number; cancel(): void }

/**
 * The same query, cancelled when its time is over. A single call of a function cannot be cancelled: then its client is
 * told all the same, and its executor stays out until it ends.
 */
function withDeadline(query: Query, { readMsMax, cancel }: Deadline): Query {
  if (!Number.isFinite(readMsMax)) return query
  const timeout = refusal('TIMEOUT_EXCEEDED', `Timeout exceeded: ${readMsMax} ms`)
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

/** Output on its way from an executor: what is not read holds the executor up. */
export type Output = {
  /** The next piece; undefined at the end. */
  read(): Promise<Uint8Array | undefined>
  /** Reads the rest and forgets it, so that nobody waits for room in the pipe. */
  discard(): Promise<void>
}

/** A pipe between threads. The writer closes `writeFd`; the reading end closes itself at the end of the output. */
function openPipe(native: Native): { writeFd: number; output: Output } {
  const ends = new Int32Array(2)
  if (native.pipe(ends) !== 0) throw new Error('No pipe could be opened: too many open files?')
  const [readFd, writeFd] = [ends[0]!, ends[1]!]
  const reader = Bun.file(readFd).stream().getReader()
  let isOver = false

  async function read(): Promise<Uint8Array | undefined> {
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
