import { existsSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Subprocess } from 'bun'
import { temporaryFolder } from './folder.ts'
import { freePort } from './port.ts'
import { until } from './until.ts'

export type Spillway = {
  url: string
  queryUrl: string
  /** ADMIN_TOKEN, if the environment has one. */
  adminToken: string | undefined
  dataDir: string
  pid(): number
  /** The output of all starts. Its last line may be incomplete, so parse it by `logLines`. */
  log(): string
  /** Rows of a query on the embedded engine's HTTP interface. */
  query<T>(sql: string): Promise<T[]>
  /** SIGKILL, as in a crash. */
  kill(): Promise<void>
  /** SIGTERM; resolves with the exit code. */
  stop(): Promise<number>
  /** `changes` replace settings of the first start. */
  start(changes?: Record<string, string>): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

const script = join(import.meta.dir, '../../src/start.sh')
const startMsMax = 30_000
/** The last bytes of the log, for the error of a server that did not start. */
const logBytesMax = 4096

/**
 * Starts the real server in its own process. Its ports stay the same over restarts. `wrapper` is a
 * command that runs the one that follows it.
 */
export async function startSpillway(
  environment: Record<string, string> = {},
  wrapper: readonly string[] = [],
): Promise<Spillway> {
  const folder = temporaryFolder()
  const port = freePort()
  const queryPort = freePort()
  const logPath = join(folder.path, 'log.jsonl')
  const log = () => readFileSync(logPath, 'utf8')
  const url = `http://127.0.0.1:${port}`
  const queryUrl = `http://127.0.0.1:${queryPort}`
  const address = environment.CLICKHOUSE_URL ?? queryUrl
  const isClickHouseOn = ({ SINKS = 'clickhouse' }: Record<string, string>) =>
    SINKS.includes('clickhouse')
  let child: Subprocess

  async function start(changes: Record<string, string> = {}): Promise<void> {
    const settings = { ...environment, ...changes }
    const logged = existsSync(logPath) ? log().length : 0
    child = Bun.spawn([...wrapper, 'sh', script], {
      env: {
        PATH: process.env.PATH ?? '',
        PORT: String(port),
        HOST: '127.0.0.1',
        DATA_DIR: join(folder.path, 'data'),
        EMBEDDED_CLICKHOUSE_PORT: String(queryPort),
        CLICKHOUSE_FLUSH_MS: '100',
        ...settings,
      },
      stdin: 'ignore',
      ...redirect(logPath),
    })
    await until(() => isReady(`${url}/_readiness`, child), {
      timeoutMs: startMsMax,
      what: 'the server',
    })
    // Lines are written a moment after their events. This one is the last of a start.
    if (settings.WORKERS === undefined)
      await until(() => log().includes('"msg":"ready"', logged), {
        timeoutMs: startMsMax,
        what: 'the log of the start',
      })
    if (!settings.CLICKHOUSE_URL && isClickHouseOn(settings)) await waitForTables()
  }

  // The server accepts events before the tables exist. Queries fail until then.
  async function waitForTables(): Promise<void> {
    const haveTables = () => queryRows(address, selectFromAll).then(Boolean, () => false)
    await until(haveTables, { timeoutMs: startMsMax, what: 'the tables' })
  }

  async function end(signal: NodeJS.Signals): Promise<number> {
    child.kill(signal)
    return await child.exited
  }

  try {
    await start()
  } catch (error) {
    await end('SIGKILL')
    throw new Error(`${error}\n${log().slice(-logBytesMax)}`)
  }
  // A later start does not wait if the test has stopped its ClickHouse.
  if (await isAnswering(`${new URL(address).origin}/ping`)) await waitForTables()
  return {
    url,
    queryUrl,
    adminToken: environment.ADMIN_TOKEN,
    dataDir: join(folder.path, 'data'),
    pid: () => child.pid,
    log,
    query: (sql) => queryRows(address, sql),
    kill: async () => void (await end('SIGKILL')),
    stop: () => end('SIGTERM'),
    start,
    async [Symbol.asyncDispose]() {
      await end('SIGKILL')
      folder[Symbol.dispose]()
    },
  }
}

/** Every start appends to the same file, so that a test can read the log of all starts. */
function redirect(path: string) {
  const fd = openSync(path, 'a')
  return { stdout: fd, stderr: fd } as const
}

const selectFromAll = 'SELECT 1 FROM events, link_events, recordings, dead_letters LIMIT 0'

function isReady(url: string, child: Subprocess): Promise<boolean> {
  if (child.exitCode !== null) throw new Error(`the server ended with ${child.exitCode}`)
  return isAnswering(url)
}

async function isAnswering(url: string): Promise<boolean> {
  try {
    return (await fetch(url)).ok
  } catch {
    return false
  }
}

async function queryRows<T>(address: string, sql: string): Promise<T[]> {
  const { origin, pathname } = new URL(address)
  const settings = new URLSearchParams({ default_format: 'JSONEachRow' })
  if (pathname !== '/') settings.set('database', pathname.slice(1))
  const response = await fetch(`${origin}/?${settings}`, { method: 'POST', body: sql })
  const text = await response.text()
  if (!response.ok) throw new Error(text)
  return text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line))
}
