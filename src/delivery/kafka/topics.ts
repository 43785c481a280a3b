import type { Admin } from 'kafkajs'
import type { Log } from '../../core/log.ts'
import { kafkajs } from './kafkajs-patches.ts'
import type { KafkaSettings } from './settings.ts'

/** What must be known of a topic before anything is sent to it. */
export type TopicFacts = {
  partitions: number
  /** The largest record set that it takes, or that we may send. */
  bytesMax: number
}

/** From this replication on a lost replica leaves two, and so an acknowledged record is on two. */
const replicationForTwoInSync = 3

export type EnsureOptions = {
  settings: KafkaSettings
  log: Log
  pause(ms: number): Promise<void>
}

/** Brokers hear of a new topic one after the other. */
const looksMax = 50
const lookPauseMs = 100

/** Finds a topic, or makes it, and says what it takes. Throws what the brokers answer otherwise. */
export async function ensureTopic(
  admin: Admin,
  topic: string,
  { settings, log, pause }: EnsureOptions,
): Promise<TopicFacts> {
  let found = await look(admin, topic, ['UNKNOWN_TOPIC_OR_PARTITION'])
  if (!found) await createTopic(admin, topic, settings)
  const young = ['UNKNOWN_TOPIC_OR_PARTITION', 'LEADER_NOT_AVAILABLE']
  for (let looks = 0; !found && looks < looksMax; looks += 1) {
    await pause(lookPauseMs)
    found = await look(admin, topic, young)
  }
  if (!found) throw new Error('it was made, but is not there yet')
  const { partitions, bytesMax } = found
  if (bytesMax === undefined) log.info({ topic }, 'kafka topic does not tell its message limit')
  else if (bytesMax < settings.messageBytesMax)
    log.warn(
      { topic, bytesMax, messageBytesMax: settings.messageBytesMax },
      'kafka topic takes smaller messages than KAFKA_MESSAGE_BYTES_MAX: larger ones become dead letters',
    )
  return { partitions, bytesMax: Math.min(bytesMax ?? Infinity, settings.messageBytesMax) }
}

type Found = { partitions: number; bytesMax: number | undefined }

/** Undefined where the brokers answer with one of `absences`. */
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
  const configEntries = [{ name: 'max.message.bytes', value: String(settings.messageBytesMax) }]
  if (settings.replication >= replicationForTwoInSync)
    configEntries.push({ name: 'min.insync.replicas', value: '2' })
  const { partitions: numPartitions, replication: replicationFactor } = settings
  const topics = [{ topic, numPartitions, replicationFactor, configEntries }]
  // False where another node of ours was faster, which is as well.
  await admin.createTopics({ topics, timeout: settings.timeoutMs, waitForLeaders: false })
}

/** Undefined where we may not ask. */
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
