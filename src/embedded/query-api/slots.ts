import { refusal } from '../chdb/exceptions.ts'

/** A bounded number of workers, started when first needed, and a bounded queue before them. */
export type Slots<T> = {
  /** A worker of one's own. Rejects when the queue is full, when `signal` aborts, and once closed. */
  take(signal: AbortSignal): Promise<T>
  give(worker: T): void
  /** Ends the waiting. Workers that are out come home by `give`. */
  close(): void
}

export function createSlots<T>({ countMax, queueMax, start }: SlotParts<T>): Slots<T> {
  const free: T[] = []
  const waiting: Waiter<T>[] = []
  let count = 0
  let isClosed = false

  async function take(signal: AbortSignal): Promise<T> {
    if (isClosed) throw closing()
    signal.throwIfAborted()
    const worker = free.pop()
    if (worker !== undefined) return worker
    if (count < countMax) return startAnother()
    if (waiting.length >= queueMax)
      throw refusal('TOO_MANY_SIMULTANEOUS_QUERIES', `Too many queries wait. Maximum: ${queueMax}`)
    return wait(signal)
  }

  async function startAnother(): Promise<T> {
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
      reject(refusal('QUERY_WAS_CANCELLED', 'The client left'))
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
      for (const waiter of waiting.splice(0)) waiter.reject(closing())
    },
  }
}

export type SlotParts<T> = { countMax: number; queueMax: number; start(): Promise<T> }
type Waiter<T> = { resolve(worker: T): void; reject(error: unknown): void }

const closing = () => refusal('ABORTED', 'The server is shutting down')
