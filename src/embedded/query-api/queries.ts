import { withTimeLimit } from '../../core/async.ts'
import { openConnection } from '../chdb/connection.ts'
import { asQueryError, refusal } from '../chdb/exceptions.ts'
import type { Native } from '../chdb/native.ts'
import type { Job } from './executor.ts'
import { type Executor, startExecutor } from './executor.ts'
import { launch, type Query } from './launch.ts'
import type { Mode } from './settings.ts'
import { createSlots } from './slots.ts'

/** Runs statements on a bounded number of executors; each has an id that no other running one has. */
export type Queries = {
  /** Waits for an executor and starts. Rejects with QueryError. When `signal` aborts, a read is cancelled. */
  start(request: QueryJob, signal: AbortSignal): Promise<Query>
  /** Cancels reads, sees writes through, and leaves the engine. Takes `closeMsMax` at most. */
  close(): Promise<void>
}

export type QueryJob = Omit<Job, 'outputFd'> & { queryId: string }

export type QueriesParts = {
  native: Native
  path: string
  mode: Mode
  concurrencyMax: number
  queueMax: number
  /** A read that takes longer is cancelled, in ms; the engine's own bound should end it before. */
  readMsMax: number
}

const closeMsMax = 5_000

export function createQueries(parts: QueriesParts): Queries {
  const { native, path, mode, concurrencyMax: countMax, queueMax } = parts
  const control = openConnection(native, path)
  const executors: Executor[] = []
  const running = new Map<string, { leave(): void; released: Promise<unknown> } | undefined>()

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
      const readMsMax = mode === 'read-only' ? parts.readMsMax : Number.POSITIVE_INFINITY
      const { query, released, leave } = launch({ job, executor, control, native, readMsMax })
      const done = () => {
        running.delete(queryId)
        signal.removeEventListener('abort', leave)
        slots.give(executor)
      }
      released.then(done, done)
      running.set(queryId, { leave, released })
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
    const released = Promise.allSettled(left.map((query) => query.released))
    await withTimeLimit(released, closeMsMax, () => {})
    for (const executor of executors) executor.close()
    control.close()
  }
  return { start: startQuery, close }
}

const alreadyRunning = (queryId: string) =>
  refusal('QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING', `Query with id = ${queryId} is already running`)
