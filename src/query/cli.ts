import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { silentLog } from '../core/log.ts'
import { startQueryServer } from './server.ts'
import { defaultUser } from './user.ts'

/**
 * The embedded engine on its own, writable, as a ClickHouse server for tests: `bun run clickhouse --port 0 --path f`.
 * Its first line says where it listens. Without `--path` its data lies in a temporary folder and goes with it.
 */
const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '8123' },
    path: { type: 'string' },
    user: { type: 'string', default: defaultUser.name },
    password: { type: 'string', default: defaultUser.password },
  },
})

const path = values.path ?? mkdtempSync(join(tmpdir(), 'spillway-clickhouse-'))
const server = await startQueryServer({
  port: Number(values.port),
  enginePath: path,
  log: silentLog,
  mode: 'writable',
  user: { name: values.user, password: values.password },
}).catch((error: Error) => {
  console.error(error.message)
  process.exit(1)
})
console.log(`clickhouse http://127.0.0.1:${server.port}`)

async function stop(): Promise<void> {
  await server.close()
  if (values.path === undefined) rmSync(path, { recursive: true, force: true })
  process.exit(0)
}
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => void stop())
