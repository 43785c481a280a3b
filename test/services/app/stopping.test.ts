import { expect, setDefaultTimeout, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { temporaryFolder } from '../../support/folder.ts'
import { logLines } from '../../support/log-lines.ts'
import { freePort } from '../../support/port.ts'
import { until } from '../../support/until.ts'

setDefaultTimeout(60_000)

const root = join(import.meta.dir, '../../..')
const bunFolder = dirname(process.execPath)

/** A server on a port of its own, started by `command` in the root of the project. */
async function start(command: readonly string[], settings: Record<string, string> = {}) {
  const folder = temporaryFolder()
  const port = freePort()
  const logPath = join(folder.path, 'log.jsonl')
  const child = Bun.spawn([...command], {
    cwd: root,
    env: {
      ...{ PATH: `${bunFolder}:${process.env.PATH}`, HOME: process.env.HOME },
      ...{ PORT: String(port), HOST: '127.0.0.1', EMBEDDED_CLICKHOUSE_PORT: '0' },
      ...{ DATA_DIR: join(folder.path, 'data'), CLICKHOUSE_FLUSH_MS: '100', ...settings },
    },
    stdin: 'ignore',
    stdout: Bun.file(logPath),
    stderr: Bun.file(logPath),
  })
  const url = `http://127.0.0.1:${port}`
  const isReady = () =>
    fetch(`${url}/_readiness`).then(
      ({ ok }) => ok,
      () => false,
    )
  await until(isReady, { timeoutMs: 30_000, what: 'the server' })
  const lines = () => logLines({ log: () => readFileSync(logPath, 'utf8') })
  return {
    ...{ child, url, lines },
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL')
      await child.exited
      folder[Symbol.dispose]()
    },
  }
}

const server = ['sh', 'src/start.sh']

async function sendEvent(url: string): Promise<void> {
  const body = JSON.stringify({ api_key: 'phc_stop', event: 'e', distinct_id: 'd' })
  const { status } = await fetch(`${url}/e/`, { method: 'POST', body })
  expect(status).toBe(200)
}

test.each(['SIGINT', 'SIGTERM'] as const)(
  'stops once, with exit code 0, when %s arrives twice',
  async (signal) => {
    await using running = await start(server)
    await sendEvent(running.url)
    running.child.kill(signal)
    running.child.kill(signal)
    expect(await running.child.exited).toBe(0)
    expect(running.lines().at(-1)?.msg).toBe('stopped; 0 events undelivered')
  },
)

/** Nothing listens there, so events for Kafka stay in the journal. */
const unreachable = { KAFKA_BROKERS: '127.0.0.1:1' }

test('reports undelivered events, and ends with exit code 3', async () => {
  await using running = await start(server, { ...unreachable, SHUTDOWN_MS_MAX: '500' })
  await sendEvent(running.url)
  running.child.kill('SIGTERM')
  expect(await running.child.exited).toBe(3)
  const last = running.lines().at(-1)!
  expect(last).toMatchObject({ undelivered: 1 })
  expect(last.msg).toStartWith('stopped; 1 events undelivered; they stay in the journal in ')
})

test('ends at once on a second signal that comes later than a second', async () => {
  await using running = await start(server, { ...unreachable, SHUTDOWN_MS_MAX: '60000' })
  await sendEvent(running.url)
  running.child.kill('SIGTERM')
  const startedMs = performance.now()
  await until(() => performance.now() - startedMs > 1200, { what: 'more than a second' })
  running.child.kill('SIGTERM')
  expect(await running.child.exited).toBe(1)
})

test('stops in order when bun run gets SIGTERM', async () => {
  await using running = await start([process.execPath, 'run', 'start'])
  running.child.kill('SIGTERM')
  expect(await running.child.exited).toBe(0)
  expect(running.lines().at(-1)?.msg).toBe('stopped; 0 events undelivered')
})

test.if(Bun.which('npx') !== null)('stops in order when npx gets SIGTERM', async () => {
  await using running = await start(['npx', '-y', 'bun', 'run', 'start'])
  running.child.kill('SIGTERM')
  const hasStopped = () => running.lines().at(-1)?.msg === 'stopped; 0 events undelivered'
  await until(hasStopped, { timeoutMs: 20_000, what: 'the end of the server' })
  expect(running.lines()).toContainEqual(expect.objectContaining({ reason: 'npx ended' }))
})

test.each([
  ['--version', 0, /^spillway \d+\.\d+\.\d+\n$/],
  ['--help', 0, /^usage: bun run start\n/],
  ['--nonsense', 64, /^$/],
])('%s starts no server', async (option, exitCode, output) => {
  const child = Bun.spawn([...server, option], {
    ...{ cwd: root, env: { PATH: `${bunFolder}:${process.env.PATH}` }, stderr: 'pipe' },
  })
  expect(await child.exited).toBe(exitCode)
  expect(await child.stdout.text()).toMatch(output)
  if (exitCode !== 0) expect(await child.stderr.text()).toContain('unknown argument "--nonsense"')
})
