import { exitNow } from './app/exit.ts'
import { startServer } from './app/server.ts'
import { toRole } from './cluster/messages.ts'
import { startSupervisor } from './cluster/supervisor.ts'
import { startSupervised } from './cluster/worker.ts'
import { type Config, loadConfig } from './config/config.ts'

/** What closing may take beyond SHUTDOWN_MS_MAX: the engine sees a running insert through. */
const closeMsMax = 20_000

type Running = { stop(signal: NodeJS.Signals): Promise<void> }

/** One process; a supervisor of several; or, by its argument, one of those. */
function start(config: Config, warnings: readonly string[]): Promise<Running> {
  const role = toRole(process.argv[2])
  if (role) return startSupervised(config, role)
  if (config.WORKERS === 1) return startServer(config, warnings)
  const command = [process.execPath, import.meta.path]
  return startSupervisor({ config, warnings, command, environment: process.env })
}

/** Start, and stop in order on SIGTERM and SIGINT. A second signal does not wait. */
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
  // Ctrl-C reaches every process of the terminal: the supervised ones leave it to their supervisor.
  process.on('SIGINT', () => isSupervised || stop('SIGINT'))
  // Nobody would start them again, and another supervisor could not have their port and journals.
  if (isSupervised) process.on('disconnect', () => stop('SIGTERM'))
  await starting
}

try {
  await main()
} catch (error) {
  console.error(toComplaint(error))
  exitNow(1)
}

/** What an operator can mend is told in words; only a fault of our own needs its stack. */
function toComplaint(error: unknown): unknown {
  const isOurs = [TypeError, RangeError, ReferenceError].some((fault) => error instanceof fault)
  return error instanceof Error && !isOurs ? error.message : error
}
