import { closeSync } from 'node:fs'
import type { InsertStream } from '../chdb/connection.ts'
import { asQueryError, refusal } from '../chdb/exceptions.ts'
import { loadNative } from '../chdb/native.ts'
import type { FromExecutor, Job, ToExecutor } from './messages.ts'
import { createRunner, type Runner } from './runner.ts'

/** A thread that runs one statement at a time and blocks while it does. */
declare const self: Worker

let runner: Runner | undefined
let insert: Insert | undefined

self.onmessage = ({ data: message }: MessageEvent<ToExecutor>) => {
  if (message.type === 'open') void open(message)
  else if (message.type === 'run') run(message.job)
  else if (insert) continueInsert(insert, message)
}

const tell = (message: FromExecutor) => self.postMessage(message)

async function open({ path, mode }: Extract<ToExecutor, { type: 'open' }>): Promise<void> {
  runner = createRunner({ native: await loadNative(), path, mode })
  tell({ type: 'ready' })
}

function run(job: Job): void {
  try {
    if (job.isInsert) {
      insert = { stream: runner!.startInsert(job), outputFd: job.outputFd }
      tell({ type: 'started', start: { format: job.format, isRead: false } })
      tell({ type: 'more' })
      return
    }
    const summary = runner!.run(job, (start) => tell({ type: 'started', start }))
    end(job.outputFd, { type: 'finished', summary })
  } catch (error) {
    end(job.outputFd, toFailure(error))
  }
}

type Insert = { stream: InsertStream; outputFd: number }

function continueInsert({ stream, outputFd }: Insert, message: ToExecutor): void {
  if (message.type === 'rows' && stream.append(message.bytes)) {
    tell({ type: 'more' })
    return
  }
  insert = undefined
  try {
    if (message.type === 'abandon') {
      stream.cancel()
      throw refusal('ABORTED', 'The rows were cut off')
    }
    // Where rows were refused, this tells why.
    end(outputFd, { type: 'finished', summary: stream.finish().summary })
  } catch (error) {
    end(outputFd, toFailure(error))
  }
}

/** The output ends before its verdict is told. */
function end(outputFd: number, message: FromExecutor): void {
  closeSync(outputFd)
  tell(message)
}

function toFailure(error: unknown): FromExecutor {
  const { code, message } = asQueryError(error)
  return { type: 'failed', code, text: message }
}
