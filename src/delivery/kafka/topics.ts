import type { Admin } from 'kafkajs'
import type { Log } from '../../core/log.ts'
import { kafkajs } from './kafkajs-patches.ts'
import type { KafkaSettings } from './settings.ts'

/** Required before the first send to a topic. */
export type TopicFacts = {
  partitions: number
  /** The smaller of the topic's limit for a record set and KAFKA_MESSAGE_BYTES_MAX. */
  bytesMax: number
}

/** With three replicas two remain after a loss, so that an acknowledged record can require two. */
const replicationForTwoInSync = 3

export type EnsureOptions = {
  settings: KafkaSettings
  log: Log
  pause(ms: number): Promise<void>
}

/** A new topic becomes visible on one broker after the other. */
const looksMax = 50
const lookPauseMs = 100

/** Finds or creates a topic and returns its facts. Throws any other answer of the brokers. */
export async function ensureTopic(
  admin: Admin,
  topic: string,
  { settings, log, pause }: EnsureOptions,
): Promise<TopicFacts> {
  const messageBytesMax = settings.KAFKA_MESSAGE_BYTES_MAX
  let found = await look(admin, topic, ['UNKNOWN_TOPIC_OR_PARTITION'])
  if (!found) await createTopic(admin, topic, settings)
  const whileNew = ['UNKNOWN_TOPIC_OR_PARTITION', 'LEADER_NOT_AVAILABLE']
  for (let looks = 0; !found && looks < looksMax; looks += 1) {
    await pause(lookPauseMs)
    found = await look(admin, topic, whileNew)
  }
  if (!found) throw new Error('the topic was created, but the brokers do not list it yet')
  const { partitions, bytesMax } = found
  if (bytesMax === undefined)
    log.info({ topic }, 'kafka does not let us read the message size limit of a topic')
  else if (bytesMax < messageBytesMax)
    log.warn(
      { topic, bytesMax, messageBytesMax },
      'kafka topic accepts smaller messages than KAFKA_MESSAGE_BYTES_MAX: recordings are split by its limit, other larger ones become dead letters',
    )
  return { partitions, bytesMax: Math.min(bytesMax ?? Infinity, messageBytesMax) }
}

type Found = { partitions: number; bytesMax: number | undefined }

/** Undefined when the brokers answer with one of `absences`. */
async function look(admin: Admin, topic: string, absences: string[]): Promise<Found | undefined> {
  try {
    const { topics } = await admin.fetchTopicMetadata({ topics: [topic] })
    const partitions = topics.find(({ name }) => name === topic)?.partitions.length
    return partitions ? { partitions, bytesMax: await findBytesMax(admin, topic) } : undefined
  } catch (error) {
    if (isOfType(error, absences)) return undefined
    throw error
  }
}

async function createTopic(admin: Admin, topic: string, settings: KafkaSettings): Promise<void> {
  const {
    KAFKA_PARTITIONS: numPartitions,
    KAFKA_REPLICATION: replicationFactor,
    KAFKA_MESSAGE_BYTES_MAX: bytesMax,
    KAFKA_TIMEOUT_MS: timeout,
  } = settings
  const configEntries = [{ name: 'max.message.bytes', value: String(bytesMax) }]
  if (replicationFactor >= replicationForTwoInSync)
    configEntries.push({ name: 'min.insync.replicas', value: '2' })
  const topics = [{ topic, numPartitions, replicationFactor, configEntries }]
  // Ignore the result: false means that another node has created the topic first.
  await admin.createTopics({ topics, timeout, waitForLeaders: false })
}

/** Undefined when the brokers do not authorise the request. */
async function findBytesMax(admin: Admin, topic: string): Promise<number | undefined> {
  const name = 'max.message.bytes'
  try {
    const { resources } = await admin.describeConfigs({
      resources: [{ type: kafkajs.ConfigResourceTypes.TOPIC, name: topic, configNames: [name] }],
      includeSynonyms: false,
    })
    const entry = resources[0]?.configEntries.find(({ configName }) => configName === name)
    return entry ? Number(entry.configValue) : undefined
  } catch (error) {
    if (isOfType(error, ['TOPIC_AUTHORIZATION_FAILED', 'CLUSTER_AUTHORIZATION_FAILED'])) return
    throw error
  }
}

function isOfType(error: unknown, types: string[]): boolean {
  for (let at = error; at instanceof Error; at = at.cause)
    if (types.includes((at as { type?: string }).type ?? '')) return true
  return false
}
