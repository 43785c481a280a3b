import type { FromInserter, ToInserter } from './inserter-messages.ts'

/**
 * The engine's own stream of rows, in a thread of its own, since its calls block. It takes half the CPU of the package's
 * `rawInsert`, which hands the rows over as the text of a statement (4.5 µs a row instead of 8), and keeps off the
 * thread pool that the journal writes by.
 */
export function createInserter(options: InserterOptions): Inserter {
  return new ThreadedInserter(options)
}

export type Inserter = {
  /**
   * `statement` ends before FORMAT. Resolves once the engine says that the rows are stored, with how many of its writes
   * have failed so far; rejects with its word.
   */
  insert(statement: string, rows: Buffer): Promise<number>
  /** Once nothing is under way. */
  close(): void
}

export type InserterOptions = {
  /** The engine's folder. */
  path: string
  /** The memory that the rows came in: while they are inserted it belongs to the thread. */
  onFree(room: ArrayBuffer): void
  /** How the thread is started; for tests. */
  spawn?: () => Worker
}

const spawnThread = () => new Worker(new URL('./inserter-worker.ts', import.meta.url).href)

class ThreadedInserter implements Inserter {
  readonly #options: InserterOptions
  #waiting: PromiseWithResolvers<number>[] = []
  #thread: Worker | undefined

  constructor(options: InserterOptions) {
    this.#options = options
  }

  insert(statement: string, rows: Buffer): Promise<number> {
    const { path } = this.#options
    const room = rows.buffer as ArrayBuffer
    const { byteOffset: offset, length } = rows
    const order: ToInserter = { path, statement, room, offset, length }
    const outcome = Promise.withResolvers<number>()
    this.#waiting.push(outcome)
    this.#thread ??= this.#start()
    this.#thread.postMessage(order, [room])
    return outcome.promise
  }

  close(): void {
    const thread = this.#thread
    this.#thread = undefined
    thread?.terminate()
  }

  #start(): Worker {
    const { spawn = spawnThread } = this.#options
    const thread = spawn()
    let lastError = 'the thread that inserts ended'
    thread.onmessage = ({ data }: MessageEvent<FromInserter>) => this.#hear(data)
    thread.onerror = ({ message }) => {
      lastError = message
    }
    thread.addEventListener('close', () => this.#ended(thread, lastError))
    return thread
  }

  /** By a fault of ours or of the runtime's: whoever waits tries again, with another thread. */
  #ended(thread: Worker, error: string): void {
    if (thread !== this.#thread) return
    this.#thread = undefined
    const waiting = this.#waiting
    this.#waiting = []
    for (const { reject } of waiting) reject(new Error(error))
  }

  #hear({ room, outcome }: FromInserter): void {
    this.#options.onFree(room)
    const { resolve, reject } = this.#waiting.shift()!
    if ('code' in outcome) reject(Object.assign(new Error(outcome.text), { code: outcome.code }))
    else resolve(outcome.writeFailures)
  }
}
