import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { until } from '../support/until.ts'
import { reapAfterUs } from './reaper.ts'

/** A server to test against: a child process that can be killed, stopped, continued and restarted. */
export type Service = {
  readonly pid: number
  /** Output since the last start. */
  log(): string
  /** SIGKILL, like a crash. Port and folder are kept for `restart`. */
  kill(): Promise<void>
  /** Starts it again on the same port and folder, and waits until it is ready. */
  restart(): Promise<void>
  /** SIGSTOP: the process keeps its connections and does not answer. */
  pause(): void
  resume(): void
  /** Ends the process and removes its folder. */
  stop(): Promise<void>
}

export type ServiceOptions = {
  name: string
  command: readonly string[]
  /** The service's own folder; `stop` removes it. */
  folder: string
  isReady: (log: string) => boolean
  readyMsMax: number
}

export const serviceFolder = (name: string) => mkdtempSync(join(tmpdir(), `spillway-${name}-`))

/** Resolves once the service is ready. Rejects with the end of its log when `readyMsMax` is over. */
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
  // A file and not a pipe: with a pipe the service would block or end when this process stops reading.
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
