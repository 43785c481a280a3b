import { afterAll, expect, test } from 'bun:test'
import { existsSync, readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { until } from '../support/until.ts'
import { startRedis } from './redis.ts'

const cli = join(import.meta.dir, 'services.ts')

/** Starts Redis only, because it is the fastest; the environment names the other two. */
function startCommand() {
  const elsewhere = { KAFKA_BROKERS: 'elsewhere:9092', CLICKHOUSE_URL: 'http://elsewhere:8123' }
  const env = { ...process.env, ...elsewhere, REDIS_URL: '' }
  const child = Bun.spawn([process.execPath, cli], { env, stdout: 'pipe', stderr: 'pipe' })
  afterAll(() => child.kill('SIGKILL'))
  return child
}

async function untilReady(child: ReturnType<typeof startCommand>): Promise<string> {
  const decoder = new TextDecoder()
  for await (const chunk of child.stderr) if (decoder.decode(chunk).includes('Ready')) break
  const { value } = await child.stdout.getReader().read()
  return decoder.decode(value)
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.on('connect', () => resolve(true)).on('error', () => resolve(false))
    socket.on('connect', () => socket.destroy())
  })
}

const portOf = (output: string) => Number(/^export REDIS_URL=redis:.*:(\d+)$/m.exec(output)![1])

test('prints an export line for each service, also for those that the environment names', async () => {
  const child = startCommand()
  const output = await untilReady(child)
  expect(output).toContain('export KAFKA_BROKERS=elsewhere:9092\n')
  expect(output).toContain('export CLICKHOUSE_URL=http://elsewhere:8123\n')
  expect(await isListening(portOf(output))).toBe(true)
})

test.each([
  ['stops all services on Ctrl-C', 'SIGINT', 0],
  ['stops all services on SIGTERM', 'SIGTERM', 0],
  ['leaves no orphan process after SIGKILL', 'SIGKILL', null],
] as const)('%s', async (_, signal, exitCode) => {
  const child = startCommand()
  const port = portOf(await untilReady(child))
  child.kill(signal)
  await child.exited
  expect(child.exitCode).toBe(exitCode)
  await until(async () => !(await isListening(port)), { what: 'the end of Redis' })
})

test('restarts on the same port after a kill, pauses on SIGSTOP, and cleans up on stop', async () => {
  const redis = await startRedis()
  const port = Number(new URL(redis.url).port)
  const first = redis.pid
  await redis.kill()
  expect(await isListening(port)).toBe(false)
  await redis.restart()
  expect(await isListening(port)).toBe(true)
  expect(redis.pid).not.toBe(first)
  redis.pause()
  await until(() => stateOf(redis.pid) === 'T', { what: 'the stopped process' })
  redis.resume()
  await until(() => stateOf(redis.pid) !== 'T', { what: 'the continued process' })
  await redis.stop()
  expect(await isListening(port)).toBe(false)
  expect(existsSync(`/proc/${redis.pid}`)).toBe(false)
})

/** The process state letter of proc(5): T is stopped. */
function stateOf(pid: number): string {
  return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.charAt(0)
}
