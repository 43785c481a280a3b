import { type Connection, openConnection } from './connection.ts'
import { asQueryError, refusal } from './exceptions.ts'
import { type Execution, type Executor, startExecutor } from './executor.ts'
import type { Job } from './messages.ts'
import type { Native } from './native.ts'
import { type Output, openPipe } from './pipe.ts'
import { type Mode, toLiteral } from './settings.ts'
import { createSlots } from './slots.ts'

/** Runs statements on a bounded number of executors; each has an id that no other running one has. */
export type Queries = {
  /** Waits for an executor and starts. Rejects with QueryError. When `signal` aborts, a read is cancelled. */
  start(request: QueryJob, signal: AbortSignal): Promise<Query>
  /** Cancels reads, sees writes through, and leaves the engine. Takes `closeMsMax` at most. */
  close(): Promise<void>
}

export type QueryJob = Omit<Job, 'outputFd'> & { queryId: string }

export type Query = Execution & { output: Output }

export type QueriesParts = {
  native: Native
  path: string
  mode: Mode
  concurrencyMax: number
  queueMax: number
  /** A read that takes longer is cancelled, in ms; the engine's own bound should end it before. */
  readMsMax: number
}

/** A killed query leaves the engine within milliseconds. A kill that came before the query was known is repeated. */
const killEveryMs = 50
const closeMsMax = 5_000

export function createQueries(parts: QueriesParts): Queries {
  const { native, path, mode, concurrencyMax: countMax, queueMax } = parts
  const control = openConnection(native, path)
  const executors: Executor[] = []
  const running = new Map<string, { leave(): void; finished: Promise<unknown> } | undefined>()

  async function start(): Promise<Executor> {
    const executor = await startExecutor({ path, mode })
    executors.push(executor)
    return executor
  }
  const slots = createSlots({ countMax, queueMax, start })

  async function startQuery(request: QueryJob, signal: AbortSignal): Promise<Query> {
    const { queryId, ...job } = request
    if (running.has(queryId)) throw alreadyRunning(queryId)
    running.set(queryId, undefined)
    try {
      const executor = await slots.take(signal)
      const { query, leave } = launch({ job, executor, control, ...parts })
      const done = () => {
        running.delete(queryId)
        signal.removeEventListener('abort', leave)
        slots.give(executor)
      }
      query.finished.then(done, done)
      running.set(queryId, { leave, finished: query.finished })
      signal.addEventListener('abort', leave, { once: true })
      if (signal.aborted) leave()
      return query
    } catch (error) {
      running.delete(queryId)
      throw asQueryError(error)
    }
  }

  async function close(): Promise<void> {
    slots.close()
    const left = [...running.values()].filter((query) => query !== undefined)
    for (const query of left) query.leave()
    await Promise.race([
      Promise.allSettled(left.map(({ finished }) => finished)),
      Bun.sleep(closeMsMax),
    ])
    for (const executor of executors) executor.close()
    control.close()
  }
  return { start: startQuery, close }
}

type Launch = QueriesParts & { job: Omit<Job, 'outputFd'>; executor: Executor; control: Connection }

/** Starts a job. `leave` is for when nobody waits for it any more: it ends a read, and an insert not yet committed. */
function launch({ job, executor, control, native, mode, readMsMax }: Launch) {
  const { writeFd, output } = openPipe(native)
  const execution = executor.run({ ...job, outputFd: writeFd })
  let isCommitted = false
  let isLate = false

  const kill = () => {
    const comment = toLiteral(job.settings.log_comment ?? '')
    control.query(`KILL QUERY WHERE Settings['log_comment'] = ${comment} ASYNC`)
  }
  function cancel(): void {
    kill()
    const repeat = setInterval(kill, killEveryMs)
    const stop = () => clearInterval(repeat)
    execution.finished.then(stop, stop)
    void output.discard()
  }
  async function leave(): Promise<void> {
    if (job.isInsert && !isCommitted) execution.abandon()
    const { isRead } = await execution.started.catch(() => ({ isRead: false }))
    if (isRead) cancel()
  }
  const deadline = mode === 'read-only' ? setTimeout(() => late(), readMsMax) : undefined
  function late(): void {
    isLate = true
    cancel()
  }
  const finished = execution.finished
    .catch((error) => {
      throw isLate ? refusal('TIMEOUT_EXCEEDED', `Timeout exceeded: ${readMsMax} ms`) : error
    })
    .finally(() => clearTimeout(deadline))
  finished.catch(() => {})
  const commit = () => {
    isCommitted = true
    execution.commit()
  }
  const query: Query = { ...execution, finished, commit, output }
  return { query, leave: () => void leave() }
}

const alreadyRunning = (queryId: string) =>
  refusal('QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING', `Query with id = ${queryId} is already running`)
