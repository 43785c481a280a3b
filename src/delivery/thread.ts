import type { Log } from '../core/log.ts'
import type { CommittedBlock } from '../core/record.ts'
import { serveThread } from '../core/worker-thread.ts'
import type {
  DeliveryThread,
  FromThread,
  LogLevel,
  ThreadOptions,
  ToThread,
} from './thread-messages.ts'
import { startWork, type Work } from './thread-work.ts'

/** Interval of the status messages to the main thread. */
const statusMs = 250

serveThread<DeliveryThread>(async (options, post) => {
  const log = toLog(post)
  // A thread that exits while chDB is working ends the whole process. So log the fault and go on.
  const logFault = (error: unknown) => {
    const stack = error instanceof Error ? error.stack : String(error)
    log.error({ error: stack }, 'uncaught error in the delivery thread')
  }
  process.on('uncaughtException', logFault)
  process.on('unhandledRejection', logFault)
  const work = await startWork(options, { post, log })
  const postStatus = createStatus(work, post)
  setInterval(postStatus, statusMs)
  return { ready: work.cursors(), receive: createReceiver({ options, work, post, postStatus }) }
})

type Receiver = {
  options: ThreadOptions
  work: Work
  post(message: FromThread): void
  postStatus(): void
}

function createReceiver({ options, work, post, postStatus }: Receiver) {
  const takenBytes = new Int32Array(options.takenBytes)

  function take(blocks: readonly CommittedBlock[]): void {
    for (const block of blocks) {
      Atomics.add(takenBytes, 0, block.bytes.byteLength)
      work.take(block)
    }
  }

  function end(type: 'drained' | 'closed'): void {
    postStatus()
    post({ type })
  }

  async function forget({ id, person, endOffset }: Extract<ToThread, { type: 'forget' }>) {
    const toFault = (error: Error) => ({ error: error.message })
    const outcome = await work.forget(person, endOffset).catch(toFault)
    post({ type: 'forgotten', id, outcome })
  }

  return (message: ToThread) => {
    if (message.type === 'blocks') take(message.blocks)
    if (message.type === 'skipped') work.skip(message.endOffset, message.bytes)
    if (message.type === 'drain') void work.drain().then(() => end('drained'))
    if (message.type === 'forget') void forget(message)
    if (message.type === 'close') void work.close().then(() => end('closed'))
  }
}

/** Posts the status if it has changed since the last call. */
function createStatus(work: Work, post: (message: FromThread) => void): () => void {
  let lastStatus = ''
  return () => {
    const status = work.status()
    const text = JSON.stringify(status)
    if (text === lastStatus) return
    lastStatus = text
    post({ type: 'status', status })
  }
}

function toLog(post: (message: FromThread) => void): Log {
  const logAt = (level: LogLevel) => (fields: object, message: string) =>
    post({ type: 'log', level, fields, message })
  return {
    debug: logAt('debug'),
    info: logAt('info'),
    warn: logAt('warn'),
    error: logAt('error'),
  }
}
