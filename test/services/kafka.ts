import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { requireKafkaJars } from './install.ts'
import { caFileOf, type Login, toFormatArguments, toSecureSettings } from './kafka-secure.ts'
import { freePorts } from './port.ts'
import { type Service, serviceFolder, startService } from './service.ts'

export type KafkaService = {
  /** `host:port` of each node, as `KAFKA_BROKERS` wants them. */
  readonly brokers: string[]
  /** The same for the listeners with TLS and SASL, of which there are none without a user. */
  readonly secure: { brokers: string[]; caFiles: string[] }
  /** The first node holds the quorum alone: without it nothing new is elected or created. */
  readonly nodes: Service[]
  readonly pid: number
  kill(): Promise<void>
  restart(): Promise<void>
  pause(): void
  resume(): void
  stop(): Promise<void>
}

export type KafkaOptions = {
  brokers?: 1 | 2
  /** Broker settings beyond ours, as in server.properties. */
  properties?: Settings
  /** Who may log in at a second listener of each node, by TLS and SASL (PLAIN or SCRAM). */
  user?: Login
  /** For benchmarks: the full compiler, and a heap to match. A test is better served by a fast start. */
  fullSpeed?: boolean
}

/** Apache Kafka (KRaft) on free ports of 127.0.0.1, each node in a folder of its own. */
export async function startKafka(options: KafkaOptions = {}): Promise<KafkaService> {
  const { brokers = 1, properties = {}, fullSpeed = false, user } = options
  const java = ['java', ...(fullSpeed ? ['-Xmx1g'] : fastStart), ...quiet]
  java.push('-cp', join(await requireKafkaJars(), '*'))
  const [quorumPort, ...ports] = await freePorts(1 + brokers * (user ? 2 : 1))
  const clusterId = makeClusterId()
  const places = Array.from({ length: brokers }, (_, index) => ({
    nodeId: index + 1,
    quorumPort: quorumPort!,
    port: ports[index]!,
    securePort: ports[brokers + index],
    folder: serviceFolder('kafka'),
  }))
  const starts = places.map((place) => startNode(place, { java, clusterId, properties, user }))
  const nodes = await Promise.all(starts).catch(async (error) => {
    const started = await Promise.allSettled(starts)
    await Promise.all(started.map((start) => 'value' in start && start.value.stop()))
    for (const { folder } of places) rmSync(folder, { recursive: true, force: true })
    throw error
  })
  return toService(places, nodes)
}

/** A uuid in Kafka's writing. Its first letter must not be a dash, which would pass for an option. */
function makeClusterId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  bytes[0]! &= 0x7f
  return Buffer.from(bytes).toString('base64url')
}

type Settings = Record<string, string | number | boolean>

type Place = {
  nodeId: number
  quorumPort: number
  port: number
  securePort: number | undefined
  folder: string
}

type NodeOptions = {
  java: string[]
  clusterId: string
  properties: Settings
  user: Login | undefined
}

async function startNode(place: Place, options: NodeOptions): Promise<Service> {
  const { java, clusterId, properties, user } = options
  const { folder } = place
  const secure = user ? await toSecureSettings(folder, user) : {}
  const file = join(folder, 'server.properties')
  const entries = Object.entries({ ...toSettings(place), ...secure, ...properties })
  await Bun.write(file, entries.map(([name, value]) => `${name}=${value}\n`).join(''))
  const format = ['kafka.tools.StorageTool', 'format', '-t', clusterId, '-c', file]
  const users = user && place.nodeId === 1 ? toFormatArguments(user) : []
  const formatting = Bun.spawn([...java, ...format, ...users], { stdout: 'ignore', stderr: 'pipe' })
  if ((await formatting.exited) !== 0)
    throw new Error(`Kafka's folder was not formatted: ${await formatting.stderr.text()}`)
  return startService({
    name: 'kafka',
    command: [...java, 'kafka.Kafka', file],
    folder,
    isReady: (log) => log.includes('Kafka Server started'),
    readyMsMax: 60_000,
  })
}

function toSettings({ nodeId, quorumPort, port, securePort, folder }: Place): Settings {
  const clients = [`PLAINTEXT://127.0.0.1:${port}`]
  if (securePort) clients.push(`SASL_SSL://127.0.0.1:${securePort}`)
  const quorum = nodeId === 1 ? [`CONTROLLER://127.0.0.1:${quorumPort}`] : []
  return {
    'node.id': nodeId,
    'process.roles': nodeId === 1 ? 'broker,controller' : 'broker',
    'controller.quorum.voters': `1@127.0.0.1:${quorumPort}`,
    'controller.listener.names': 'CONTROLLER',
    listeners: [...clients, ...quorum].join(','),
    'advertised.listeners': clients.join(','),
    'log.dirs': join(folder, 'data'),
    'offsets.topic.replication.factor': 1,
    'offsets.topic.num.partitions': 1,
    'transaction.state.log.replication.factor': 1,
    'transaction.state.log.min.isr': 1,
    'share.coordinator.state.topic.replication.factor': 1,
    'share.coordinator.state.topic.min.isr': 1,
    'group.initial.rebalance.delay.ms': 0,
    'auto.create.topics.enable': false,
    // A lost node is noticed within seconds, not the usual nine: tests wait for it.
    'broker.session.timeout.ms': 3000,
    'broker.heartbeat.interval.ms': 500,
  }
}

/** The one line by which we know that it is ready, and nothing else that is not a warning. */
const quiet = [
  '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn',
  '-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info',
]

function toService(places: readonly Place[], nodes: Service[]): KafkaService {
  const all = (act: (node: Service) => Promise<void>) => Promise.all(nodes.map(act)).then(() => {})
  const secured = places.filter(({ securePort }) => securePort !== undefined)
  return {
    brokers: places.map(({ port }) => `127.0.0.1:${port}`),
    secure: {
      brokers: secured.map(({ securePort }) => `127.0.0.1:${securePort}`),
      caFiles: secured.map(({ folder }) => caFileOf(folder)),
    },
    nodes,
    get pid() {
      return nodes[0]!.pid
    },
    kill: () => all((node) => node.kill()),
    restart: () => all((node) => node.restart()),
    pause() {
      for (const node of nodes) node.pause()
    },
    resume() {
      for (const node of nodes) node.resume()
    },
    stop: () => all((node) => node.stop()),
  }
}

/** Halves the time to start: one quick compiler, one simple collector. */
const fastStart = ['-Xmx512m', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC']
