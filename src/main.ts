import { dlopen, FFIType } from 'bun:ffi'
import { version } from '../package.json'
import { checkConfig } from './app/check-config.ts'
import { watchLauncher } from './app/launcher.ts'
import { type StopReport, startServer } from './app/server.ts'
import { toRole } from './cluster/messages.ts'
import { startSupervisor } from './cluster/supervisor.ts'
import { startSupervised } from './cluster/worker.ts'
import { type Config, loadConfig } from './config/config.ts'
import { SettingsError } from './config/environment.ts'
import { findOriginFaults } from './core/cors.ts'

/** Closing may take this long beyond DRAIN_MS and SHUTDOWN_MS_MAX: the embedded ClickHouse completes a running insert. */
const closeMsMax = 20_000

/** Ctrl-C reaches the process twice when `bun run` passes it on. A later signal asks to end at once. */
const sameSignalMs = 1000
const exitCodes = { stopped: 0, failed: 1, undelivered: 3, usage: 64, settings: 78 }

const usage = `usage: bun run start

Starts Spillway. Settings are environment variables; docs/settings.md lists them.

  --help          print this text
  --version       print the version
  --check-config  print all faults of the settings, of the files that they name, and of ClickHouse,
                  Kafka and Redis; starts nothing and writes nothing; exit code 78 if there are any`

type Running = { stop(reason: string): Promise<StopReport> }

/** Runs a single process, the supervisor of several, or, if the first argument names a role, one of those. */
function start(config: Config, warnings: readonly string[]): Promise<Running> {
  const role = toRole(process.argv[2])
  if (role) return startSupervised(config, role)
  if (config.WORKERS === 1) return startServer({ config, warnings })
  const command = [process.execPath, import.meta.path]
  return startSupervisor({ config, warnings, command, environment: process.env })
}

/** Starts, and stops in order on SIGTERM, SIGINT, and when npx ends. */
async function main(): Promise<void> {
  // As in start.sh: only this user may read what the server writes.
  process.umask(0o077)
  const isSupervised = toRole(process.argv[2]) !== undefined
  if (!isSupervised) await readArguments(process.argv.slice(2))
  const { config, warnings } = loadConfig(process.env, findOriginFaults)
  let stoppingSinceMs: number | undefined
  const starting = start(config, warnings)
  const stop = async (reason: string) => {
    if (stoppingSinceMs !== undefined) {
      if (performance.now() - stoppingSinceMs > sameSignalMs) exitNow(exitCodes.failed)
      return
    }
    stoppingSinceMs = performance.now()
    const stopMsMax = config.DRAIN_MS + config.SHUTDOWN_MS_MAX + closeMsMax
    setTimeout(() => exitNow(exitCodes.failed), stopMsMax)
    try {
      const { undelivered, orphaned } = await (await starting).stop(reason)
      exitNow(undelivered > 0 || orphaned.length > 0 ? exitCodes.undelivered : exitCodes.stopped)
    } catch (error) {
      // A failed start reports its error itself.
      await starting
      console.error(toComplaint(error))
      exitNow(exitCodes.failed)
    }
  }
  process.on('SIGTERM', () => stop('SIGTERM'))
  // Ctrl-C reaches every process of the terminal. Supervised ones are stopped by their supervisor instead.
  process.on('SIGINT', () => isSupervised || stop('SIGINT'))
  // Without its supervisor a process would never be restarted, and would hold port and journal against the next one.
  if (isSupervised) process.on('disconnect', () => stop('SIGTERM'))
  else watchLauncher(() => stop('npx ended'))
  await starting
}

/** Returns only without arguments. */
async function readArguments(args: readonly string[]): Promise<void> {
  if (args.length === 0) return
  if (args.length === 1 && args[0] === '--check-config') exitNow(await printConfigReport())
  if (args.includes('--version')) console.log(`spillway ${version}`)
  else if (args.includes('--help')) console.log(usage)
  else {
    console.error(`unknown argument ${JSON.stringify(args[0])}\n\n${usage}`)
    exitNow(exitCodes.usage)
  }
  exitNow(exitCodes.stopped)
}

async function printConfigReport(): Promise<number> {
  const { faults, warnings, found } = await checkConfig(process.env)
  for (const line of found) console.log(`ok: ${line}`)
  for (const line of warnings) console.error(`warning: ${line}`)
  for (const line of faults) console.error(`fault: ${line}`)
  if (faults.length === 0) console.log('the configuration has no faults')
  return faults.length === 0 ? exitCodes.stopped : exitCodes.settings
}

try {
  await main()
} catch (error) {
  console.error(toComplaint(error))
  exitNow(error instanceof SettingsError ? exitCodes.settings : exitCodes.failed)
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
