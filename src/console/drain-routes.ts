import { ConsoleError, readObject } from './exchange.ts'
import type { Ask } from './processes.ts'
import type { ConsoleRoutes } from './routes.ts'

/** Stops the intake of this process, and says what its sinks still lack. */
export type Drain = {
  begin(): void
  read(): DrainState
  /** Asks the server, with all of its processes, to stop as on SIGTERM. */
  stop(): void
}

/** Of one process. */
export type DrainState = {
  /** Events are refused. */
  is_closed: boolean
  /** Requests in flight, which may still commit events. */
  requests: number
  sinks: Record<string, { waiting: number; last_error: string | null }>
  /** Folders of journals whose process no longer runs. */
  orphaned: { waiting: string[]; failed: string[] }
  /** Holds what is undelivered. */
  folder: string
  /** The process and, under a supervisor, the supervisor; `place` as of `toProcessPlace`. */
  process: { pids: number[]; place?: string | undefined }
}

type DrainParts = { ask: Ask; drain: Drain }

export function drainRoutes({ ask, drain }: DrainParts): ConsoleRoutes {
  async function read(begin: boolean) {
    const { answers, notes } = await ask<DrainState>({ type: 'drain', begin })
    // A process that does not answer may hold undelivered events.
    return { processes: answers, complete: notes.length === 0, notes }
  }
  return {
    'GET drain': async ({ parameters }) => {
      parameters.assertAllRead()
      return await read(false)
    },
    'POST drain': async ({ request }) => {
      await readObject(request)
      return await read(true)
    },
    'POST stop': async ({ request }) => {
      await readObject(request)
      const document = await read(false)
      if (!document.processes.every((one) => one.is_closed))
        throw new ConsoleError(409, 'not_draining', 'the server takes events; drain it first')
      drain.stop()
      return document
    },
  }
}
