import { Kafka, logLevel, type Message } from 'kafkajs'
import { toPartition } from '../src/delivery/kafka/topic.ts'
import { makeRecord, measure, messagesPerSend, partitions } from './kafka-records.ts'

/**
 * What a careful user of kafkajs writes: a lane per partition, one send in flight in each, every message
 * made beforehand. A process of its own, in which nothing of kafkajs is mended. Prints its run.
 */
const [brokers = '', topic = '', records = '0'] = process.argv.slice(2)
const count = Number(records)
const lanes: Message[][] = Array.from({ length: partitions }, () => [])
for (let index = 0; index < count; index += 1) {
  const { uuid, event, key, source, line } = makeRecord(index)
  const partition = toPartition(Buffer.from(key), partitions)
  const headers = { uuid, event, source }
  lanes[partition]!.push({ key, value: Buffer.from(line), partition, headers })
}

const kafka = new Kafka({ brokers: brokers.split(','), logLevel: logLevel.NOTHING })
const producer = kafka.producer({ createPartitioner: () => (one) => one.message.partition! })
await producer.connect()

async function drain(lane: readonly Message[]): Promise<void> {
  for (let at = 0; at < lane.length; at += messagesPerSend)
    await producer.send({ topic, messages: lane.slice(at, at + messagesPerSend), acks: -1 })
}
await Promise.all(lanes.map((lane) => drain(lane.slice(0, 5000)))) // Both have their warm-up.
const run = await measure('kafkajs', count, () => Promise.all(lanes.map(drain)))
console.log(JSON.stringify(run))
process.exit()
