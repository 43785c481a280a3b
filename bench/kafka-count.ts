import { Kafka, logLevel } from 'kafkajs'

/** Records of a topic and of the topics beside it: events above a rate go to `events_overflow`. */
export async function countRecords(brokers: string, topic: string): Promise<number> {
  const admin = new Kafka({ brokers: brokers.split(','), logLevel: logLevel.NOTHING }).admin()
  await admin.connect()
  try {
    const topics = (await admin.listTopics()).filter((name) => name.startsWith(topic))
    const offsets = await Promise.all(topics.map((name) => admin.fetchTopicOffsets(name)))
    return offsets.flat().reduce((sum, { high, low }) => sum + Number(high) - Number(low), 0)
  } finally {
    await admin.disconnect()
  }
}
