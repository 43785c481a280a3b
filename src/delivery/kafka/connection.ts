import { connect, isIP, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type {
  Admin,
  ISocketFactory,
  Kafka,
  KafkaConfig,
  Message,
  Producer,
  SASLOptions,
} from 'kafkajs'
import { withTimeLimit } from '../../core/async.ts'
import { type BrokerList, createBrokerList } from './broker-list.ts'
import { kafkajs } from './kafkajs-patches.ts'
import type { KafkaSettings } from './settings.ts'

/** One kafkajs producer with the sockets it opened, so that it can be let go of whatever it hangs on. */
export type Connection = {
  /** Resolves with the partitions that the broker confirmed. */
  send(topic: string, messages: Message[]): Promise<number[]>
  withAdmin<T>(work: (admin: Admin) => Promise<T>): Promise<T>
  /** Waits `graceMs` for kafkajs to part in peace, then cuts the sockets. */
  close(graceMs: number): Promise<void>
}

export type ConnectionOptions = {
  settings: KafkaSettings
  /** The certificates that sign the brokers', PEM; undefined trusts the system's. */
  ca: string | undefined
  /** How old the producer's knowledge of leaders and partition counts may grow. */
  metadataMsMax: number
  /** Called with the partition count that the producer knows, each time it sends. */
  onPartitions(topic: string, partitions: number): void
}

export function openConnection(options: ConnectionOptions): Connection {
  const sockets = new Set<Socket>()
  const kafka = new kafkajs.Kafka(toClientOptions(options, sockets))
  const producer = toProducer(kafka, options)
  const { timeoutMs } = options.settings
  let connected: Promise<void> | undefined

  /** One dial for all who wait. After a failure the next one dials another broker of the list. */
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
    async send(topic, messages) {
      await within(2 * timeoutMs, dial())
      // The broker is to give up first: its answer says more than our silence.
      const request = { topic, messages, acks: -1, timeout: Math.ceil(timeoutMs * 0.8) }
      const report = await within(2 * timeoutMs, producer.send(request))
      return report.filter(({ errorCode }) => errorCode === 0).map(({ partition }) => partition)
    },
    withAdmin,
    async close(graceMs) {
      await within(graceMs, producer.disconnect()).catch(() => {})
      for (const socket of sockets) socket.destroy(new Error('the connection was given up'))
    },
  }
}

/** kafkajs' own retries are off everywhere: they overtake, and stop after a while. */
const retry = { retries: 0 }

function toProducer(kafka: Kafka, { metadataMsMax, onPartitions }: ConnectionOptions): Producer {
  return kafka.producer({
    retry,
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
  const { timeoutMs, tls, sasl } = settings
  const list = createBrokerList(settings.brokers)
  return {
    clientId: 'spillway',
    brokers: list.toDial,
    retry,
    requestTimeout: timeoutMs,
    connectionTimeout: Math.min(timeoutMs, 10_000),
    authenticationTimeout: timeoutMs,
    logLevel: kafkajs.logLevel.NOTHING, // What fails is thrown, and told by whoever tries again.
    socketFactory: toSocketFactory(sockets, list),
    ...(tls ? { ssl: ca ? { ca } : true } : {}),
    ...(sasl ? { sasl: sasl as SASLOptions } : {}),
  }
}

/** As kafkajs' own, but remembers the sockets: kafkajs keeps those on which a request timed out. */
function toSocketFactory(sockets: Set<Socket>, list: BrokerList): ISocketFactory {
  return ({ host, port, ssl, onConnect }) => {
    list.dialing(host, port)
    const onReached = () => {
      list.reached(host, port)
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
