import { closeSync } from 'node:fs'
import { serveThread } from '../../core/worker-thread.ts'
import { createQueryError, toQueryError } from '../chdb/exceptions.ts'
import { loadNative } from '../chdb/native.ts'
import type { ExecutorThread, FromExecutor, Job, ToExecutor } from './executor.ts'
import { createRunner, type Runner, type RunningInsert } from './runner.ts'

// Runs one statement at a time and blocks meanwhile.
serveThread<ExecutorThread>(async ({ path, mode }, post) => {
  const runner = createRunner({ native: await loadNative(), path, mode })
  return { ready: undefined, receive: createReceiver(runner, post) }
})

function createReceiver(runner: Runner, post: (message: FromExecutor) => void) {
  let insert: Insert | undefined

  async function run(job: Job): Promise<void> {
    try {
      if (job.isInsert) {
        insert = { stream: runner.startInsert(job), outputFd: job.outputFd }
        post({ type: 'started', start: { format: job.format, isRead: false } })
        post({ type: 'more' })
        return
      }
      const summary = await runner.run(job, (start) => post({ type: 'started', start }))
      end(job.outputFd, { type: 'finished', summary })
    } catch (error) {
      end(job.outputFd, toFailure(error))
    }
  }

  async function continueInsert({ stream, outputFd }: Insert, message: ToExecutor): Promise<void> {
    if (message.type === 'rows' && stream.append(message.bytes)) {
      post({ type: 'more' })
      return
    }
    insert = undefined
    try {
      if (message.type === 'abandon') {
        stream.cancel()
        throw createQueryError('ABORTED', 'The rows were cut off')
      }
      // If chDB rejected rows, `finish` throws its reason.
      const { summary } = await stream.finish()
      end(outputFd, { type: 'finished', summary })
    } catch (error) {
      end(outputFd, toFailure(error))
    }
  }

  /** Close the output first: a reader that has seen the end then finds the outcome. */
  function end(outputFd: number, message: FromExecutor): void {
    closeSync(outputFd)
    post(message)
  }

  return (message: ToExecutor) => {
    if (message.type === 'run') void run(message.job)
    else if (insert) void continueInsert(insert, message)
  }
}

type Insert = { stream: RunningInsert; outputFd: number }

function toFailure(error: unknown): FromExecutor {
  const { code, message } = toQueryError(error)
  return { type: 'failed', code, text: message }
}
