import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { silentLog } from '../core/log.ts'
import { defaultUser } from '../embedded/query-api/handler.ts'
import { type QueryServer, startQueryServer } from '../embedded/query-api/server.ts'
import { runCommand, usageFault } from './connection.ts'

const usage = `usage: bun run clickhouse [--port PORT] [--path FOLDER] [--user NAME] [--password PASSWORD]

Runs the embedded ClickHouse alone, writable, as a ClickHouse server for tests on 127.0.0.1. The
first line of output has its address. SIGTERM or Ctrl-C stops it.

  --port      port; 0 picks a free one; else 8123
  --path      folder of the data; else a temporary one, which is removed at the end
  --user      name that clients send; else ${defaultUser.name}
  --password  its password; else none`

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
    throw usageFault(`--port "${values.port}" is not an integer in 0..65535`, usage)
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

  const stopped = Promise.withResolvers<void>()
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stopped.resolve())
  await stopped.promise
  await server.close()
  removeTemporary()
}

// At the end: the constants above are set when it runs.
await runCommand(usage, () => run(readOptions()))
