import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { until } from '../support/until.ts'
import { reapAfterUs } from './reaper.ts'

/** A server to test against: a process of ours that can be killed, hung and brought back. */
export type Service = {
  readonly pid: number
  /** What it printed since its last start. */
  log(): string
  /** SIGKILL, as a crash would have it; its port and folder are kept for `restart`. */
  kill(): Promise<void>
  /** Starts it again on the same port and folder, and waits until it is ready. */
  restart(): Promise<void>
  /** SIGSTOP: it holds its connections and answers nothing. */
  pause(): void
  resume(): void
  /** Ends it and removes its folder. */
  stop(): Promise<void>
}

export type ServiceOptions = {
  name: string
  command: readonly string[]
  /** A folder of its own, which goes when the service goes. */
  folder: string
  isReady: (log: string) => boolean
  readyMsMax: number
}

export const serviceFolder = (name: string) => mkdtempSync(join(tmpdir(), `spillway-${name}-`))

/** Resolves once the service is ready. Rejects, with the end of its log, when it is not in time. */
export async function startService(options: ServiceOptions): Promise<Service> {
  const logPath = join(options.folder, `${options.name}.log`)
  const log = () => readFileSync(logPath, 'utf8')
  let running = launch(options, logPath)

  async function kill(): Promise<void> {
    running.child.kill('SIGKILL')
    await running.child.exited
  }
  async function stop(): Promise<void> {
    await kill()
    rmSync(options.folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 })
    running.release()
  }
  const service: Service = {
    get pid() {
      return running.child.pid
    },
    log,
    kill,
    async restart() {
      await kill()
      running.release()
      running = launch(options, logPath)
      await becomeReady(options, running.child, log)
    },
    pause: () => running.child.kill('SIGSTOP'),
    resume: () => running.child.kill('SIGCONT'),
    stop,
  }
  try {
    await becomeReady(options, running.child, log)
    return service
  } catch (error) {
    await stop()
    throw error
  }
}

function launch({ command, folder }: ServiceOptions, logPath: string) {
  // A file and not a pipe: the service must neither block on us nor die with us before the reaper.
  const output = openSync(logPath, 'w')
  const child = Bun.spawn([...command], {
    cwd: folder,
    stdin: 'ignore',
    stdout: output,
    stderr: output,
  })
  closeSync(output)
  child.unref()
  return { child, release: reapAfterUs(child.pid, folder) }
}

async function becomeReady(
  { name, isReady, readyMsMax }: ServiceOptions,
  child: Bun.Subprocess,
  log: () => string,
): Promise<void> {
  const isOver = () => child.exitCode !== null || child.signalCode !== null
  const ended = () => {
    if (isOver()) throw new Error(`${name} ended before it was ready:\n${log().slice(-2000)}`)
    return isReady(log())
  }
  await until(ended, { timeoutMs: readyMsMax, pauseMs: 20, what: `${name} being ready` })
}
