import { loadConfig } from './config.ts'
import { startServer } from './server.ts'
import { SettingsError } from './settings.ts'

/** Start, and stop in order on SIGTERM and SIGINT. A second signal does not wait. */
async function main(): Promise<void> {
  const { config, warnings } = loadConfig(process.env)
  const server = await startServer(config, warnings)
  let isStopping = false
  const stop = async (signal: string) => {
    if (isStopping) process.exit(1)
    isStopping = true
    await server.stop(signal)
    process.exit(0)
  }
  process.on('SIGTERM', () => stop('SIGTERM'))
  process.on('SIGINT', () => stop('SIGINT'))
}

try {
  await main()
} catch (error) {
  console.error(error instanceof SettingsError ? error.message : error)
  process.exit(1)
}
