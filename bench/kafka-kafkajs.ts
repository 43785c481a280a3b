import { Kafka, logLevel, type Message } from 'kafkajs'
import { toPartition } from '../src/delivery/kafka/topic.ts'
import { createRecord, measure, messagesPerSend, partitions } from './kafka-records.ts'

/**
 * kafkajs alone, used carefully: a queue per partition, one send in flight for each, all messages
 * prepared. Runs as a process of its own, in which kafkajs is not patched. Prints its run.
 */
const [brokers = '', topic = '', records = '0'] = process.argv.slice(2)
const count = Number(records)
const queues: Message[][] = Array.from({ length: partitions }, () => [])
for (let index = 0; index < count; index += 1) {
  const { uuid, event, key, source, line } = createRecord(index)
  const partition = toPartition(Buffer.from(key), partitions)
  const headers = { uuid, event, source }
  queues[partition]!.push({ key, value: Buffer.from(line), partition, headers })
}

const kafka = new Kafka({ brokers: brokers.split(','), logLevel: logLevel.NOTHING })
const producer = kafka.producer({ createPartitioner: () => (one) => one.message.partition! })
await producer.connect()

async function drain(queue: readonly Message[]): Promise<void> {
  for (let at = 0; at < queue.length; at += messagesPerSend)
    await producer.send({ topic, messages: queue.slice(at, at + messagesPerSend), acks: -1 })
}
await Promise.all(queues.map((queue) => drain(queue.slice(0, 5000)))) // Warm-up, as in the run of the sink.
const run = await measure('kafkajs', count, () => Promise.all(queues.map(drain)))
console.log(JSON.stringify(run))
process.exit()
