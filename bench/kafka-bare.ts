import { Kafka, logLevel, type Message } from 'kafkajs'
import { toPartition } from '../src/sinks/kafka-partition.ts'
import { makeRecords, measure, messagesPerSend, partitions } from './kafka-records.ts'

/**
 * What a careful user of kafkajs writes: a lane per partition, one send in flight in each, every message
 * made beforehand. A process of its own, in which nothing of kafkajs is mended. Prints its run.
 */
const [brokers = '', topic = '', count = '0'] = process.argv.slice(2)
const lanes: Message[][] = Array.from({ length: partitions }, () => [])
for (const record of makeRecords(Number(count))) {
  const { uuid, event, key } = record.head()
  const headers = { uuid, event, source: record.source }
  const value = Buffer.from(record.line.buffer, record.line.byteOffset, record.line.length - 1)
  const partition = toPartition(Buffer.from(key), partitions)
  lanes[partition]!.push({ key, value, partition, headers })
}

const kafka = new Kafka({ brokers: brokers.split(','), logLevel: logLevel.NOTHING })
const producer = kafka.producer({ createPartitioner: () => (one) => one.message.partition! })
await producer.connect()

async function drain(lane: readonly Message[], from: number, to: number): Promise<void> {
  for (let at = from; at < to; at += messagesPerSend)
    await producer.send({ topic, messages: lane.slice(at, at + messagesPerSend), acks: -1 })
}
await Promise.all(lanes.map((lane) => drain(lane, 0, 5000))) // Both have their warm-up.
const run = await measure('kafkajs', Number(count), () =>
  Promise.all(lanes.map((lane) => drain(lane, 0, lane.length))),
)
console.log(JSON.stringify(run))
process.exit()
