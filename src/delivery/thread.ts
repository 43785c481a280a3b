import type { Log } from '../core/log.ts'
import type { FromThread, LogLevel, ToThread } from './thread-messages.ts'
import { startWork, type Work } from './thread-work.ts'

declare const self: Worker

/** How often the main thread hears how the sinks are. */
const statusMs = 250

let work: Work | undefined
let lastStatus = ''
let takenBytes = new Int32Array(new SharedArrayBuffer(4))

const post = (message: FromThread) => self.postMessage(message)
const logAt = (level: LogLevel) => (fields: object, message: string) =>
  post({ type: 'log', level, fields, message })
const log: Log = {
  debug: logAt('debug'),
  info: logAt('info'),
  warn: logAt('warn'),
  error: logAt('error'),
}

self.onmessage = ({ data }: MessageEvent<ToThread>) => {
  if (data.type === 'start') void start(data)
  if (data.type === 'blocks') take(data)
  if (data.type === 'skipped') work?.skip(data.endOffset, data.bytes)
  if (data.type === 'drain') void work?.drain().then(() => end('drained'))
  if (data.type === 'close') void work?.close().then(() => end('closed'))
}

// To leave while the engine works ends the whole process: a fault of ours is told, and the thread
// goes on.
process.on('uncaughtException', tellFault)
process.on('unhandledRejection', tellFault)

async function start({ options }: Extract<ToThread, { type: 'start' }>): Promise<void> {
  takenBytes = new Int32Array(options.takenBytes)
  try {
    work = await startWork(options, { post, log })
  } catch (error) {
    return post({ type: 'refused', message: toText(error) })
  }
  post({ type: 'started', cursors: work.cursors() })
  setInterval(tellStatus, statusMs)
}

function take({ blocks }: Extract<ToThread, { type: 'blocks' }>): void {
  for (const block of blocks) {
    Atomics.add(takenBytes, 0, block.bytes.byteLength)
    work?.take(block)
  }
}

function end(type: 'drained' | 'closed'): void {
  tellStatus()
  post({ type })
}

function tellStatus(): void {
  if (!work) return
  const status = work.status()
  const text = JSON.stringify(status)
  if (text === lastStatus) return
  lastStatus = text
  post({ type: 'status', status })
}

function tellFault(error: unknown): void {
  const stack = error instanceof Error ? error.stack : String(error)
  log.error({ error: stack }, 'fault in the shippers’ thread')
}

const toText = (error: unknown) => (error instanceof Error ? error.message : String(error))
