import { connect, isIP, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { Admin, ISocketFactory, Kafka, KafkaConfig, Producer, SASLOptions } from 'kafkajs'
import { withTimeLimit } from '../../core/async.ts'
import { type FinishedSet, kafkajs, toValue } from './kafkajs-patches.ts'
import { type KafkaSettings, parseSasl } from './settings.ts'

/** One kafkajs producer and its sockets. Closing the sockets ends a producer that hangs. */
export type Connection = {
  /**
   * Resolves with whether the broker confirmed the set. Sets for one broker that are sent in the same step
   * share a request.
   */
  send(topic: string, partition: number, set: UnsentSet): Promise<boolean>
  withAdmin<T>(work: (admin: Admin) => Promise<T>): Promise<T>
  /** Waits up to `graceMs` for kafkajs to disconnect, then cuts the sockets. */
  close(graceMs: number): Promise<void>
}

/** `bytes` is its size, `seal` completes it. */
export type UnsentSet = { bytes: number; seal: FinishedSet['seal'] }

export type ConnectionOptions = {
  settings: KafkaSettings
  /** Certificates that sign the brokers' certificates, PEM. Undefined trusts the system's. */
  ca: string | undefined
  /** Maximum age of the producer's metadata (leaders, partition counts), ms. */
  metadataMsMax: number
  /** Called at each send with the partition count in the producer's metadata. */
  onPartitions(topic: string, partitions: number): void
}

export function openConnection(options: ConnectionOptions): Connection {
  const sockets = new Set<Socket>()
  const kafka = new kafkajs.Kafka(toClientOptions(options, sockets))
  /** The broker of a partition at its last send. */
  const leaders = new Map<string, number>()
  const producer = toProducer(kafka, { ...options, leaders })
  const timeoutMs = options.settings.KAFKA_TIMEOUT_MS
  let connected: Promise<void> | undefined

  /** All waiting sends share one dial. The dial after a failure takes another broker of the list. */
  function dial(): Promise<void> {
    connected ??= producer.connect().catch((error) => {
      connected = undefined
      throw error
    })
    return connected
  }

  async function withAdmin<T>(work: (admin: Admin) => Promise<T>): Promise<T> {
    const admin = kafka.admin()
    try {
      await within(2 * timeoutMs, admin.connect())
      return await within(4 * timeoutMs, work(admin))
    } finally {
      await within(1000, admin.disconnect()).catch(() => {})
    }
  }

  async function sendTogether(sends: readonly Send[]): Promise<void> {
    try {
      await within(2 * timeoutMs, dial())
      // Let the broker time out first: its error says more than a missing answer.
      const request = { topicMessages: toTopicMessages(sends), acks: -1 }
      await within(2 * timeoutMs, producer.sendBatch({ ...request, timeout: timeoutMs * 0.8 }))
      // kafkajs silently drops messages for a partition that it does not know.
      for (const { resolve } of sends) resolve(false)
    } catch (error) {
      for (const { reject } of sends) reject(error)
    }
  }

  let gathered: Send[] = []
  function sendGathered(): void {
    const sends = gathered
    gathered = []
    for (const group of toRequests(sends, leaders)) void sendTogether(group)
  }

  return {
    send(topic, partition, { bytes, seal }) {
      const { promise, resolve, reject } = Promise.withResolvers<boolean>()
      const answered = (error: Error | undefined) => (error ? reject(error) : resolve(true))
      if (gathered.length === 0) queueMicrotask(sendGathered)
      gathered.push({ topic, partition, bytes, set: { seal, answered }, resolve, reject })
      return promise
    },
    withAdmin,
    async close(graceMs) {
      await within(graceMs, producer.disconnect()).catch(() => {})
      for (const socket of sockets) socket.destroy(new Error('the connection was closed'))
    },
  }
}

/** One set on its way. The first outcome counts. */
export type Send = {
  topic: string
  partition: number
  bytes: number
  set: FinishedSet
  resolve(isConfirmed: boolean): void
  reject(error: unknown): void
}

/** A broker refuses requests above socket.request.max.bytes, 100 MiB by default. */
const bytesPerRequestMax = 4 * 1024 * 1024

const toPlace = (topic: string, partition: number) => `${topic}/${partition}`

/**
 * One request for each broker: kafkajs fails a call as a whole when one of its brokers fails, while the
 * sets are still on their way to another. Without a known leader a set goes alone.
 */
export function toRequests(sends: readonly Send[], leaders: ReadonlyMap<string, number>): Send[][] {
  const requests: Send[][] = []
  const open = new Map<number, { sends: Send[]; bytes: number }>()
  for (const send of sends) {
    const leader = leaders.get(toPlace(send.topic, send.partition))
    const joined = leader === undefined ? undefined : open.get(leader)
    if (joined && joined.bytes + send.bytes <= bytesPerRequestMax) {
      joined.sends.push(send)
      joined.bytes += send.bytes
      continue
    }
    const started = { sends: [send], bytes: send.bytes }
    requests.push(started.sends)
    if (leader !== undefined) open.set(leader, started)
  }
  return requests
}

function toTopicMessages(sends: readonly Send[]) {
  const topics = new Map<string, { partition: number; value: Buffer }[]>()
  for (const { topic, partition, set } of sends) {
    const messages = topics.get(topic) ?? []
    messages.push({ partition, value: toValue(set) })
    topics.set(topic, messages)
  }
  return [...topics].map(([topic, messages]) => ({ topic, messages }))
}

/** The retries of kafkajs are off everywhere: they reorder messages and end after a while. */
const retry = { retries: 0 }

type ProducerOptions = ConnectionOptions & { leaders: Map<string, number> }

function toProducer(kafka: Kafka, options: ProducerOptions): Producer {
  const { settings, metadataMsMax, onPartitions, leaders } = options
  const idempotent = settings.KAFKA_IDEMPOTENT
  return kafka.producer({
    // kafkajs requires a retry of an idempotent producer; it sends the same set again.
    ...(idempotent ? { idempotent, retry: { retries: 1 } } : { retry }),
    allowAutoTopicCreation: false,
    metadataMaxAge: metadataMsMax,
    createPartitioner:
      () =>
      ({ topic, partitionMetadata, message }) => {
        onPartitions(topic, partitionMetadata.length)
        const partition = message.partition!
        const leader = partitionMetadata.find(
          ({ partitionId }) => partitionId === partition,
        )?.leader
        if (leader !== undefined) leaders.set(toPlace(topic, partition), leader)
        return partition
      },
  })
}

function toClientOptions({ settings, ca }: ConnectionOptions, sockets: Set<Socket>): KafkaConfig {
  const timeoutMs = settings.KAFKA_TIMEOUT_MS
  const sasl = parseSasl(settings)
  const brokers = createBrokerList(settings.KAFKA_BROKERS)
  return {
    clientId: 'spillway',
    brokers: brokers.toDial,
    retry,
    requestTimeout: timeoutMs,
    connectionTimeout: Math.min(timeoutMs, 10_000),
    authenticationTimeout: timeoutMs,
    logLevel: kafkajs.logLevel.NOTHING, // Every failure is thrown, and its caller logs it.
    socketFactory: toSocketFactory(sockets, brokers),
    ...(settings.KAFKA_TLS ? { ssl: ca ? { ca } : true } : {}),
    ...(sasl ? { sasl: sasl as SASLOptions } : {}),
  }
}

/** The bootstrap brokers. kafkajs asks for them before each dial and dials the first one. */
export type BrokerList = {
  /**
   * The reachable brokers, from a random start on. A broker that was dialled and not reached is left
   * out until each broker has been tried.
   */
  toDial(): string[]
  dialing(host: string, port: number): void
  reached(host: string, port: number): void
}

export function createBrokerList(brokers: readonly string[]): BrokerList {
  /** Dialled, and not reached since. */
  const unreachable = new Set<string>()
  return {
    toDial() {
      if (brokers.every((broker) => unreachable.has(broker))) unreachable.clear()
      return toRotated(brokers.filter((broker) => !unreachable.has(broker)))
    },
    dialing(host, port) {
      unreachable.add(`${host}:${port}`)
    },
    reached(host, port) {
      unreachable.delete(`${host}:${port}`)
    },
  }
}

function toRotated(brokers: readonly string[]): string[] {
  const start = Math.floor(Math.random() * brokers.length)
  return [...brokers.slice(start), ...brokers.slice(0, start)]
}

/**
 * Like the socket factory of kafkajs, but keeps a list of the sockets: kafkajs leaves a socket open
 * when a request on it timed out.
 */
function toSocketFactory(sockets: Set<Socket>, brokers: BrokerList): ISocketFactory {
  return ({ host, port, ssl, onConnect }) => {
    brokers.dialing(host, port)
    const onReached = () => {
      brokers.reached(host, port)
      onConnect()
    }
    const name = isIP(host) ? {} : { servername: host }
    const socket = ssl
      ? connectTls({ host, port, ...name, ...(typeof ssl === 'object' ? ssl : {}) }, onReached)
      : connect({ host, port }, onReached)
    socket.setKeepAlive(true, 60_000)
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    return socket
  }
}

/** kafkajs has states in which a promise never settles. */
const within = <T>(msMax: number, promise: Promise<T>) =>
  withTimeLimit(promise, msMax, () => {
    throw new Error(`no answer within ${msMax} ms`)
  })
