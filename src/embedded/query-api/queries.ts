import { withTimeLimit } from '../../core/async.ts'
import { openConnection } from '../chdb/connection.ts'
import { createQueryError, toQueryError } from '../chdb/exceptions.ts'
import type { Native } from '../chdb/native.ts'
import type { Job } from './executor.ts'
import { type Executor, startExecutor } from './executor.ts'
import { type Launched, launch, type Query } from './launch.ts'
import type { Mode } from './settings.ts'
import { createSlots } from './slots.ts'

/** Runs statements on a bounded number of executors. No two running statements share an id. */
export type Queries = {
  /**
   * Waits for a free executor and starts. Rejects with QueryError. When `signal` aborts, a read is
   * cancelled.
   */
  start(request: QueryJob, signal: AbortSignal): Promise<Query>
  /** Cancels reads, waits for writes up to `closeMsMax`, and closes all connections. */
  close(): Promise<void>
}

export type QueryJob = Omit<Job, 'outputFd'> & { queryId: string }

export type QueriesOptions = {
  native: Native
  path: string
  mode: Mode
  concurrencyMax: number
  queueMax: number
  /** A longer read is cancelled. ClickHouse's own limit should end it before. */
  readMsMax: number
}

const closeMsMax = 5_000

export function createQueries(options: QueriesOptions): Queries {
  const { native, path, mode, concurrencyMax: countMax, queueMax } = options
  const control = openConnection(native, path)
  const executors: Executor[] = []
  const running = new Map<
    string,
    { cancelForClient(): void; released: Promise<unknown> } | undefined
  >()

  async function start(): Promise<Executor> {
    const executor = await startExecutor({ path, mode })
    executors.push(executor)
    return executor
  }
  const slots = createSlots({ countMax, queueMax, start })

  const readMsMax = mode === 'read-only' ? options.readMsMax : Number.POSITIVE_INFINITY

  /** Gives the executor back if the job does not start, for example when no pipe can be opened. */
  function launchOn(executor: Executor, job: Omit<Job, 'outputFd'>): Launched {
    try {
      return launch({ job, executor, control, native, readMsMax })
    } catch (error) {
      slots.give(executor)
      throw error
    }
  }

  async function startQuery(request: QueryJob, signal: AbortSignal): Promise<Query> {
    const { queryId, ...job } = request
    if (running.has(queryId)) throw createDuplicateIdError(queryId)
    running.set(queryId, undefined)
    try {
      const executor = await slots.take(signal)
      const { query, released, cancelForClient } = launchOn(executor, job)
      const done = () => {
        running.delete(queryId)
        signal.removeEventListener('abort', cancelForClient)
        slots.give(executor)
      }
      released.then(done, done)
      running.set(queryId, { cancelForClient, released })
      signal.addEventListener('abort', cancelForClient, { once: true })
      if (signal.aborted) cancelForClient()
      return query
    } catch (error) {
      running.delete(queryId)
      throw toQueryError(error)
    }
  }

  async function close(): Promise<void> {
    slots.close()
    const left = [...running.values()].filter((query) => query !== undefined)
    for (const query of left) query.cancelForClient()
    const released = Promise.allSettled(left.map((query) => query.released))
    await withTimeLimit(released, closeMsMax, () => {})
    for (const executor of executors) executor.close()
    control.close()
  }
  return { start: startQuery, close }
}

const createDuplicateIdError = (queryId: string) =>
  createQueryError(
    'QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING',
    `Query with id = ${queryId} is already running`,
  )
