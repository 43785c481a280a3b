import { createQueryError } from '../chdb/exceptions.ts'

/** A bounded number of workers, each started when first needed, with a bounded queue. */
export type Slots<T> = {
  /**
   * A worker for exclusive use. Rejects when the queue is full, `signal` aborts, or after `close`.
   */
  take(signal: AbortSignal): Promise<T>
  give(worker: T): void
  /** Rejects all that wait. Workers in use are still given back. */
  close(): void
}

export function createSlots<T>({ countMax, queueMax, start }: SlotsOptions<T>): Slots<T> {
  const free: T[] = []
  const waiting: Waiter<T>[] = []
  let count = 0
  let isClosed = false

  async function take(signal: AbortSignal): Promise<T> {
    if (isClosed) throw createClosingError()
    signal.throwIfAborted()
    const worker = free.pop()
    if (worker !== undefined) return worker
    if (count < countMax) return startWorker()
    if (waiting.length >= queueMax)
      throw createQueryError(
        'TOO_MANY_SIMULTANEOUS_QUERIES',
        `Too many queries are waiting. Maximum: ${queueMax}`,
      )
    return wait(signal)
  }

  async function startWorker(): Promise<T> {
    count += 1
    try {
      return await start()
    } catch (error) {
      count -= 1
      throw error
    }
  }

  function wait(signal: AbortSignal): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    const waiter = { resolve, reject }
    waiting.push(waiter)
    const leave = () => {
      const place = waiting.indexOf(waiter)
      if (place !== -1) waiting.splice(place, 1)
      reject(createQueryError('QUERY_WAS_CANCELLED', 'The client disconnected'))
    }
    signal.addEventListener('abort', leave, { once: true })
    return promise.finally(() => signal.removeEventListener('abort', leave))
  }

  return {
    take,
    give(worker) {
      const next = waiting.shift()
      if (next) next.resolve(worker)
      else free.push(worker)
    },
    close() {
      isClosed = true
      for (const waiter of waiting.splice(0)) waiter.reject(createClosingError())
    },
  }
}

export type SlotsOptions<T> = { countMax: number; queueMax: number; start(): Promise<T> }
type Waiter<T> = { resolve(worker: T): void; reject(error: unknown): void }

const createClosingError = () => createQueryError('ABORTED', 'The server is shutting down')
