import { connect, isIP, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { Admin, ISocketFactory, Kafka, KafkaConfig, Producer, SASLOptions } from 'kafkajs'
import { withTimeLimit } from '../../core/async.ts'
import { type FinishedSet, kafkajs, toValue } from './kafkajs-patches.ts'
import { type KafkaSettings, parseSasl } from './settings.ts'

/** One kafkajs producer and its sockets. Closing the sockets ends a producer that hangs. */
export type Connection = {
  /** Resolves with the partitions that the broker confirmed. */
  send(topic: string, partition: number, set: FinishedSet): Promise<number[]>
  withAdmin<T>(work: (admin: Admin) => Promise<T>): Promise<T>
  /** Waits up to `graceMs` for kafkajs to disconnect, then cuts the sockets. */
  close(graceMs: number): Promise<void>
}

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
  const producer = toProducer(kafka, options)
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
  return {
    async send(topic, partition, set) {
      await within(2 * timeoutMs, dial())
      // Let the broker time out first: its error says more than a missing answer.
      const messages = [{ partition, value: toValue(set) }]
      const request = { topic, messages, acks: -1, timeout: Math.ceil(timeoutMs * 0.8) }
      const report = await within(2 * timeoutMs, producer.send(request))
      return report.filter(({ errorCode }) => errorCode === 0).map(({ partition }) => partition)
    },
    withAdmin,
    async close(graceMs) {
      await within(graceMs, producer.disconnect()).catch(() => {})
      for (const socket of sockets) socket.destroy(new Error('the connection was closed'))
    },
  }
}

/** The retries of kafkajs are off everywhere: they reorder messages and end after a while. */
const retry = { retries: 0 }

function toProducer(kafka: Kafka, options: ConnectionOptions): Producer {
  const { settings, metadataMsMax, onPartitions } = options
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
        return message.partition!
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
