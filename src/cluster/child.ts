import type { Subprocess } from 'bun'
import { noJitter, toBackoffMs } from '../core/async.ts'
import type { Log } from '../core/log.ts'
import { type FromChild, type Role, type ToChild, toArgument } from './messages.ts'

/** One process under the supervisor. It is restarted whenever it ends unexpectedly. */
export type Child = {
  /** Resolves when it is ready for the first time; rejects when it ends before that. */
  started: Promise<void>
  isReady(): boolean
  restarts(): number
  send(message: ToChild): void
  /** Sends the signal and prevents a restart. Resolves when the process has ended. */
  stop(signal: NodeJS.Signals): Promise<void>
}

type ChildOptions = {
  role: Role
  command: readonly string[]
  environment: Record<string, string | undefined>
  log: Log
  onMessage(message: FromChild): void
  /** The process ended unexpectedly. */
  onEnded(): void
}

/** A process that ends right after each start must not load the machine with restarts. */
const backoff = { firstMs: 100, maxMs: 10_000 }
/** A process that ran for this long starts its next series of failures at one. */
const stableMs = 60_000

export function startChild(options: ChildOptions): Child {
  const { role, log } = options
  const name = toArgument(role)
  const first = Promise.withResolvers<void>()
  let child: Subprocess | undefined
  let timer: ReturnType<typeof setTimeout> | undefined
  let state: 'starting' | 'ready' | 'ended' | 'stopping' = 'starting'
  let wasReady = false
  let restarts = 0
  let failuresInRow = 0

  function spawn(): void {
    const spawnedMs = performance.now()
    state = 'starting'
    child = spawnProcess(options, (message) => {
      if (message.type === 'ready') onReady()
      options.onMessage(message)
    })
    void child.exited.then((code) => onEnded(code, performance.now() - spawnedMs))
  }

  function onReady(): void {
    if (state === 'starting') state = 'ready'
    wasReady = true
    first.resolve()
  }

  function onEnded(code: number, livedMs: number): void {
    if (state === 'stopping') return
    state = 'ended'
    // A failure at the first start is a configuration error, so reject. Later failures are retried.
    if (!wasReady) {
      first.reject(new Error(`${name} ended with ${code} before it served`))
      return
    }
    options.onEnded()
    failuresInRow = livedMs > stableMs ? 1 : failuresInRow + 1
    const pauseMs = toBackoffMs(failuresInRow, backoff, noJitter)
    restarts += 1
    const fields = { process: name, code, pauseMs, restarts }
    log.error(fields, 'a process ended unexpectedly and is restarted')
    timer = setTimeout(spawn, pauseMs)
  }

  spawn()
  return {
    started: first.promise,
    isReady: () => state === 'ready',
    restarts: () => restarts,
    send(message) {
      if (state === 'starting' || state === 'ready') child?.send(message)
    },
    async stop(signal) {
      clearTimeout(timer)
      state = 'stopping'
      first.reject(new Error(`${name} was stopped before it served`))
      if (child?.exitCode === null && child.signalCode === null) child.kill(signal)
      await child?.exited
    },
  }
}

function spawnProcess(
  { command, role, environment }: ChildOptions,
  onMessage: (message: FromChild) => void,
): Subprocess {
  return Bun.spawn([...command, toArgument(role)], {
    env: environment,
    stdin: 'ignore',
    stdout: 'inherit',
    stderr: 'inherit',
    serialization: 'json',
    ipc: onMessage,
  })
}
