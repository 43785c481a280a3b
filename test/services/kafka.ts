import { rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Admin, ITopicConfig } from 'kafkajs'
import { freePorts } from '../support/port.ts'
import { until } from '../support/until.ts'
import { requireKafkaJars } from './install.ts'
import { caFileOf, type Login, toFormatArguments, toSecureSettings } from './kafka-secure.ts'
import { type Service, serviceFolder, startService } from './service.ts'

export type KafkaService = {
  /** `host:port` of each node, in the form of `KAFKA_BROKERS`. */
  readonly brokers: string[]
  /** The same for the listeners with TLS and SASL. Empty unless `user` is set. */
  readonly secure: { brokers: string[]; caFiles: string[] }
  /** The first node is the only controller: while it is down, no leader is elected and no topic is created. */
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
  /** Additional broker settings, as in server.properties. */
  properties?: Settings
  /** Adds a listener with TLS and SASL (PLAIN or SCRAM) to each node, for this user. */
  user?: Login
  /** For benchmarks: the optimising compiler and a larger heap. Tests prefer a fast start. */
  fullSpeed?: boolean
}

/** Starts Apache Kafka (KRaft) on free ports of 127.0.0.1, each node with its own folder. */
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

/** A uuid in base64url, as Kafka writes it. It must not begin with a dash, or the tool reads it as an option. */
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
    throw new Error(`formatting Kafka's folder failed: ${await formatting.stderr.text()}`)
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
    // Detect a lost node after 3 s instead of the default 9 s: tests wait for it.
    'broker.session.timeout.ms': 3000,
    'broker.heartbeat.interval.ms': 500,
  }
}

/** Log warnings only, and the one line that says that the server is ready. */
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

/** Halves the start time: only the fast compiler, and the serial garbage collector. */
const fastStart = ['-Xmx512m', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC']

/**
 * Creates a topic and waits until its brokers know it. kafkajs itself waits by one request for metadata, and
 * throws if the broker that it asks has not heard of the topic yet.
 */
export async function createTopic(admin: Admin, topic: ITopicConfig): Promise<void> {
  await admin.createTopics({ topics: [topic], waitForLeaders: false })
  const hasLeaders = async () => {
    const found = await admin.fetchTopicMetadata({ topics: [topic.topic] }).catch(() => undefined)
    return found?.topics[0]?.partitions.every(({ leader }) => leader >= 0)
  }
  await until(hasLeaders, { what: `the leaders of ${topic.topic}` })
}
