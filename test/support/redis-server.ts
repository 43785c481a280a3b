import { Redis } from 'ioredis'
import { requireCommand } from '../services/install.ts'
import { temporaryFolder } from './folder.ts'
import { freePort } from './port.ts'
import { until } from './until.ts'

export type TestRedis = {
  url: string
  stop(): Promise<void>
  /** Starts an empty Redis on the same port. */
  start(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** Starts a Redis for this test on a free port, without persistence. */
export async function startRedis(): Promise<TestRedis> {
  await requireCommand('redis-server', 'redis-server')
  const folder = temporaryFolder()
  const port = freePort()
  let server: Bun.Subprocess | undefined

  async function start() {
    const settings = ['--port', `${port}`, '--bind', '127.0.0.1', '--dir', folder.path]
    server = Bun.spawn(['redis-server', ...settings, '--save', '', '--appendonly', 'no'], {
      stdout: 'ignore',
      stderr: 'ignore',
    })
    const probe = new Redis({ port, host: '127.0.0.1', retryStrategy: () => 20 })
    probe.on('error', () => {})
    await until(() => probe.ping().catch(() => false), { what: 'Redis' })
    probe.disconnect()
  }

  async function stop() {
    server?.kill('SIGKILL')
    await server?.exited
  }

  await start()
  return {
    url: `redis://127.0.0.1:${port}`,
    start,
    stop,
    async [Symbol.asyncDispose]() {
      await stop()
      folder[Symbol.dispose]()
    },
  }
}
