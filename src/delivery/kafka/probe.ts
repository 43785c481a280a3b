import { connect, isIP, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { readSettingFile } from '../../config/setting-file.ts'
import { withTimeLimit } from '../../core/async.ts'
import type { ServiceProbe } from '../../core/version.ts'
import { openConnection } from './connection.ts'
import type { KafkaSettings } from './settings.ts'

/** The first brokers with `zstd`. Tested with it. */
const kafkaOldest = '2.1'

/** Brokers do not tell their version, only the versions of their requests. Kafka 2.1 brought this one of Produce. */
const produce = { key: 0, oldest: 7 }

/** Logs in as the server does, and asks each broker of the list. Creates no topic. */
export async function probeKafka(
  settings: KafkaSettings,
  timeoutMs: number,
): Promise<ServiceProbe> {
  try {
    const ca = readCa(settings)
    const faults = await Promise.all(
      settings.KAFKA_BROKERS.map((broker) => probeBroker(broker, { settings, ca, timeoutMs })),
    )
    const fault = faults.find((one) => one !== undefined)
    if (fault !== undefined) return { fault }
    const connection = openConnection({
      settings: { ...settings, KAFKA_TIMEOUT_MS: Math.min(settings.KAFKA_TIMEOUT_MS, timeoutMs) },
      ca,
      metadataMsMax: timeoutMs,
      onPartitions() {},
    })
    try {
      const { brokers } = await connection.withAdmin((admin) => admin.describeCluster())
      return {
        version: `${kafkaOldest} or newer, ${brokers.length} ${brokers.length === 1 ? 'broker' : 'brokers'}`,
      }
    } finally {
      await connection.close(0)
    }
  } catch (error) {
    return { fault: `${settings.KAFKA_BROKERS[0]} does not answer: ${(error as Error).message}` }
  }
}

const readCa = ({ KAFKA_TLS: tls, KAFKA_TLS_CA_FILE: file }: KafkaSettings) =>
  tls && file ? readSettingFile('KAFKA_TLS_CA_FILE', file) : undefined

type BrokerOptions = { settings: KafkaSettings; ca: string | undefined; timeoutMs: number }

async function probeBroker(
  broker: string,
  { settings, ca, timeoutMs }: BrokerOptions,
): Promise<string | undefined> {
  const at = broker.lastIndexOf(':')
  const place = { host: broker.slice(0, at), port: Number(broker.slice(at + 1)) }
  const name = isIP(place.host) ? {} : { servername: place.host }
  const socket = settings.KAFKA_TLS
    ? connectTls({ ...place, ...name, ...(ca ? { ca } : {}) })
    : connect(place)
  try {
    const versions = await withTimeLimit(askVersions(socket), timeoutMs, () => {
      throw new Error(`no reply within ${timeoutMs} ms; is it a broker, and does KAFKA_TLS fit?`)
    })
    const newest = versions.get(produce.key)
    if (newest !== undefined && newest >= produce.oldest) return
    return `${broker} is older than Kafka ${kafkaOldest}; use ${kafkaOldest} or newer`
  } catch (error) {
    return `${broker} does not answer: ${(error as Error).message}`
  } finally {
    socket.destroy()
  }
}

/** ApiVersions, version 0: each broker answers it, also before a login. Source: protocol guide of Kafka. */
const request = Buffer.from('0000000c001200000000000100027072', 'hex')
const replyBytesMax = 64 * 1024

/** The newest version of each request, by its key. */
async function askVersions(socket: Socket): Promise<Map<number, number>> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>()
  let reply = Buffer.alloc(0)
  socket.on('error', reject)
  socket.on('close', () => reject(new Error('the connection was closed')))
  socket.on('data', (chunk: Buffer) => {
    reply = Buffer.concat([reply, chunk])
    const bytes = reply.length >= 4 ? 4 + reply.readInt32BE(0) : 0
    if (bytes > replyBytesMax || bytes < 0) reject(new Error('the reply is not that of a broker'))
    else if (bytes > 0 && reply.length >= bytes) resolve(reply)
  })
  socket.write(request)
  const bytes = await promise
  const versions = new Map<number, number>()
  const [countAt, entryBytes] = [10, 6]
  for (let entry = 0; entry < bytes.readInt32BE(countAt); entry += 1) {
    const at = countAt + 4 + entry * entryBytes
    versions.set(bytes.readInt16BE(at), bytes.readInt16BE(at + 4))
  }
  return versions
}
