import { requireCommand } from '../services/install.ts'
import { type Service, serviceFolder, startService } from '../services/service.ts'
import { freePorts } from './port.ts'
import { until } from './until.ts'

export type RedisCluster = {
  /** All nodes, comma-separated. */
  url: string
  nodes: readonly Service[]
  stop(): Promise<void>
}

/** Three masters, the minimum of a Redis Cluster. */
export async function startRedisCluster(): Promise<RedisCluster> {
  await requireCommand('redis-server', 'redis-server')
  const ports = await freePorts(6)
  const nodes = await Promise.all([0, 1, 2].map((at) => startNode(ports[at]!, ports[at + 3]!)))
  const urls = ports.slice(0, 3).map((port) => `redis://127.0.0.1:${port}`)
  const addresses = urls.map((url) => new URL(url).host)
  await redisCli(urls[0]!, '--cluster', 'create', ...addresses, '--cluster-yes')
  const isFormed = async (url: string) =>
    (await redisCli(url, 'cluster', 'info')).includes('cluster_state:ok')
  for (const url of urls) await until(() => isFormed(url), { what: 'the cluster' })
  const stop = async () => {
    await Promise.all(nodes.map((node) => node.stop()))
  }
  return { url: urls.join(','), nodes, stop }
}

/** Runs redis-cli and returns its output. */
export async function redisCli(url: string, ...args: string[]): Promise<string> {
  const { port } = new URL(url)
  const client = Bun.spawn(['redis-cli', '-p', port, ...args], { stderr: 'ignore' })
  return (await new Response(client.stdout).text()).trim()
}

function startNode(port: number, clusterPort: number): Promise<Service> {
  const folder = serviceFolder('redis-node')
  const settings = {
    port,
    bind: '127.0.0.1',
    dir: folder,
    save: '',
    'cluster-enabled': 'yes',
    'cluster-port': clusterPort,
  }
  return startService({
    name: 'redis',
    command: [
      'redis-server',
      ...Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]),
    ],
    folder,
    isReady: (log) => log.includes('Ready to accept connections'),
    readyMsMax: 30_000,
  })
}
