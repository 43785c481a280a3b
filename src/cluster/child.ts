import type { Subprocess } from 'bun'
import { noJitter, toBackoffMs } from '../core/async.ts'
import type { Log } from '../core/log.ts'
import { type FromChild, type Role, type ToChild, toArgument } from './messages.ts'

/** One process under the supervisor, started again whenever it falls. */
export type Child = {
  /** Resolves once it serves for the first time; rejects when it ends before that. */
  started: Promise<void>
  isReady(): boolean
  pid(): number | undefined
  restarts(): number
  send(message: ToChild): void
  /** Passes a signal on and does not start it again. Resolves when it has ended. */
  stop(signal: NodeJS.Signals): Promise<void>
}

export type ChildParts = {
  role: Role
  command: readonly string[]
  environment: Record<string, string | undefined>
  log: Log
  onMessage(message: FromChild): void
  /** It ended, and was not told to. */
  onFallen(): void
}

/** A process that falls at once must not take the machine with it. */
const backoff = { firstMs: 100, maxMs: 10_000 }
/** Whoever served this long has left its trouble behind. */
const soundMs = 60_000

export function startChild(parts: ChildParts): Child {
  const { role, log } = parts
  const name = toArgument(role)
  const first = Promise.withResolvers<void>()
  let child: Subprocess | undefined
  let timer: ReturnType<typeof setTimeout> | undefined
  let state: 'starting' | 'ready' | 'fallen' | 'stopping' = 'starting'
  let hasServed = false
  let restarts = 0
  let failuresInRow = 0

  function spawn(): void {
    const spawnedMs = performance.now()
    state = 'starting'
    child = launch(parts, (message) => {
      if (message.type === 'ready') onReady()
      parts.onMessage(message)
    })
    void child.exited.then((code) => onEnded(code, performance.now() - spawnedMs))
  }

  function onReady(): void {
    if (state === 'starting') state = 'ready'
    hasServed = true
    first.resolve()
  }

  function onEnded(code: number, livedMs: number): void {
    if (state === 'stopping') return
    state = 'fallen'
    // What cannot even start is the operator's to mend.
    if (!hasServed) {
      first.reject(new Error(`${name} ended with ${code} before it served`))
      return
    }
    parts.onFallen()
    failuresInRow = livedMs > soundMs ? 1 : failuresInRow + 1
    const pauseMs = toBackoffMs(failuresInRow, backoff, noJitter)
    restarts += 1
    log.error({ process: name, code, pauseMs, restarts }, 'a process fell and is started again')
    timer = setTimeout(spawn, pauseMs)
  }

  spawn()
  return {
    started: first.promise,
    isReady: () => state === 'ready',
    pid: () => (state === 'fallen' ? undefined : child?.pid),
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

function launch(
  { command, role, environment }: ChildParts,
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
