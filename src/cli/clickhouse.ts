import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { silentLog } from '../core/log.ts'
import { defaultUser } from '../embedded/query-api/handler.ts'
import { type QueryServer, startQueryServer } from '../embedded/query-api/server.ts'

/**
 * The embedded ClickHouse alone, writable, as a ClickHouse server for tests:
 * `bun run clickhouse --port 0 --path folder`. The first line of output holds its address. Without
 * `--path` the data is in a temporary folder that is removed at the end.
 */
try {
  await run(readOptions())
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exit(1)
}

type Options = { port: number; path: string | undefined; user: string; password: string }

function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      port: { type: 'string', default: '8123' },
      path: { type: 'string' },
      user: { type: 'string', default: defaultUser.name },
      password: { type: 'string', default: defaultUser.password },
    },
  })
  const port = Number(values.port)
  if (!Number.isInteger(port) || port < 0 || port > 65_535)
    throw new Error(`--port "${values.port}" is not an integer in 0..65535`)
  return { ...values, port, path: values.path }
}

async function run({ port, path, user, password }: Options): Promise<void> {
  const chdbPath = path ?? mkdtempSync(join(tmpdir(), 'spillway-clickhouse-'))
  const removeTemporary = () => {
    if (path === undefined) rmSync(chdbPath, { recursive: true, force: true })
  }
  let server: QueryServer
  try {
    const common = { log: silentLog, mode: 'writable' } as const
    server = await startQueryServer({ ...common, port, chdbPath, user: { name: user, password } })
    await server.opened
  } catch (error) {
    removeTemporary()
    throw error
  }
  console.log(`clickhouse http://127.0.0.1:${server.port}`)

  const stop = async () => {
    await server.close()
    removeTemporary()
    process.exit(0)
  }
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => void stop())
}
