import { dlopen, FFIType } from 'bun:ffi'
import { startServer } from './app/server.ts'
import { toRole } from './cluster/messages.ts'
import { startSupervisor } from './cluster/supervisor.ts'
import { startSupervised } from './cluster/worker.ts'
import { type Config, loadConfig } from './config/config.ts'

/** Closing may take this long beyond SHUTDOWN_MS_MAX: the embedded ClickHouse completes a running insert. */
const closeMsMax = 20_000

type Running = { stop(signal: NodeJS.Signals): Promise<void> }

/** Runs a single process, the supervisor of several, or, if the first argument names a role, one of those. */
function start(config: Config, warnings: readonly string[]): Promise<Running> {
  const role = toRole(process.argv[2])
  if (role) return startSupervised(config, role)
  if (config.WORKERS === 1) return startServer({ config, warnings })
  const command = [process.execPath, import.meta.path]
  return startSupervisor({ config, warnings, command, environment: process.env })
}

/** Starts, and stops in order on SIGTERM and SIGINT. A second signal ends the process at once. */
async function main(): Promise<void> {
  const { config, warnings } = loadConfig(process.env)
  const isSupervised = toRole(process.argv[2]) !== undefined
  let stopping: Promise<void> | undefined
  const starting = start(config, warnings)
  const stop = async (signal: NodeJS.Signals) => {
    if (stopping) exitNow(1)
    setTimeout(() => exitNow(1), config.SHUTDOWN_MS_MAX + closeMsMax)
    stopping = starting.then((server) => server.stop(signal))
    await stopping.catch((error) => console.error(error))
    exitNow(0)
  }
  process.on('SIGTERM', () => stop('SIGTERM'))
  // Ctrl-C reaches every process of the terminal. Supervised ones are stopped by their supervisor instead.
  process.on('SIGINT', () => isSupervised || stop('SIGINT'))
  // Without its supervisor a process would never be restarted, and would hold port and journal against the next one.
  if (isSupervised) process.on('disconnect', () => stop('SIGTERM'))
  await starting
}

try {
  await main()
} catch (error) {
  console.error(toComplaint(error))
  exitNow(1)
}

/** An operator needs the message only. A bug in the server needs its stack. */
function toComplaint(error: unknown): unknown {
  const isBug = [TypeError, RangeError, ReferenceError].some((type) => error instanceof type)
  return error instanceof Error && !isBug ? error.message : error
}

/**
 * Ends the process at once. `process.exit` runs the C library's exit handlers, and those of chDB can deadlock with
 * their threads. Seen once, on SIGTERM right after the start: the supervisor would wait forever.
 */
function exitNow(code: number): never {
  for (const library of ['libc.so.6', 'libc.dylib']) exitBy(library, code)
  process.exit(code)
}

/** Returns only if there is no such library. */
function exitBy(library: string, code: number): void {
  try {
    dlopen(library, { _exit: { args: [FFIType.i32], returns: FFIType.void } }).symbols._exit(code)
  } catch {
    // Try the next name, then `process.exit`.
  }
}
