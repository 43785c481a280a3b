import { loadConfig } from './config.ts'
import { exitNow } from './ops/exit.ts'
import { startServer } from './server.ts'

/** What closing may take beyond SHUTDOWN_MS_MAX: the engine sees a running insert through. */
const closeMsMax = 20_000

/** Start, and stop in order on SIGTERM and SIGINT. A second signal does not wait. */
async function main(): Promise<void> {
  const { config, warnings } = loadConfig(process.env)
  let stopping: Promise<void> | undefined
  const starting = startServer(config, warnings)
  const stop = async (signal: string) => {
    if (stopping) exitNow(1)
    setTimeout(() => exitNow(1), config.SHUTDOWN_MS_MAX + closeMsMax)
    stopping = starting.then((server) => server.stop(signal))
    await stopping.catch((error) => console.error(error))
    exitNow(0)
  }
  process.on('SIGTERM', () => stop('SIGTERM'))
  process.on('SIGINT', () => stop('SIGINT'))
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
