import { once } from 'node:events'
import { createServer } from 'node:net'
import { Redis } from 'ioredis'
import { temporaryFolder } from './folder.ts'
import { until } from './until.ts'

export type TestRedis = {
  url: string
  stop(): Promise<void>
  /** Starts it again on the same port, with nothing in it. */
  start(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** A real Redis of the test's own, on a free port, without persistence. */
export async function startRedis(): Promise<TestRedis> {
  const folder = temporaryFolder()
  const port = await freePort()
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

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as { port: number }
  probe.close()
  await once(probe, 'close')
  return port
}
