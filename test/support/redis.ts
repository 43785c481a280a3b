import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { until } from './until.ts'

export type TestRedis = {
  url: string
  port: number
  /** Stops it dead, as a hung machine would be; its connections stay open. */
  pause(): void
  resume(): void
  kill(): Promise<void>
  /** Runs redis-cli and gives what it prints. */
  cli(...args: string[]): Promise<string>
  [Symbol.asyncDispose](): Promise<void>
}

/** A Redis of the test's own, without persistence, on a free port or the one it had before. */
export async function startRedis({ port = freePort(), cluster = false } = {}): Promise<TestRedis> {
  const folder = mkdtempSync(join(tmpdir(), 'spillway-redis-'))
  const clustered = cluster ? ['--cluster-enabled', 'yes', '--cluster-port', `${freePort()}`] : []
  const settings = ['--port', `${port}`, '--bind', '127.0.0.1', '--dir', folder, '--save', '']
  const server = Bun.spawn(['redis-server', ...settings, ...clustered], { stdout: 'ignore' })
  const cli = async (...args: string[]) => {
    const client = Bun.spawn(['redis-cli', '-p', `${port}`, ...args], { stderr: 'ignore' })
    return (await new Response(client.stdout).text()).trim()
  }
  const kill = async () => {
    server.kill('SIGKILL')
    await server.exited
    rmSync(folder, { recursive: true, force: true })
  }
  await until(async () => (await cli('ping')) === 'PONG', { what: 'redis-server' })
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    pause: () => server.kill('SIGSTOP'),
    resume: () => server.kill('SIGCONT'),
    kill,
    cli,
    [Symbol.asyncDispose]: kill,
  }
}

/** Three masters, which is the least a Redis Cluster takes. */
export async function startRedisCluster(): Promise<{
  url: string
  nodes: TestRedis[]
  [Symbol.asyncDispose](): Promise<void>
}> {
  const nodes: TestRedis[] = []
  for (let count = 0; count < 3; count += 1) nodes.push(await startRedis({ cluster: true }))
  const addresses = nodes.map((node) => `127.0.0.1:${node.port}`)
  await nodes[0]!.cli('--cluster', 'create', ...addresses, '--cluster-yes')
  for (const node of nodes)
    await until(async () => (await node.cli('cluster', 'info')).includes('cluster_state:ok'))
  return {
    url: nodes.map((node) => node.url).join(','),
    nodes,
    async [Symbol.asyncDispose]() {
      await Promise.all(nodes.map((node) => node.kill()))
    },
  }
}

function freePort(): number {
  const server = Bun.listen({ hostname: '127.0.0.1', port: 0, socket: { data() {} } })
  server.stop(true)
  return server.port
}
