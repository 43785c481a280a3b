import { Producer } from '@platformatic/kafka'
import { toPartition } from '../src/delivery/kafka/topic.ts'
import { createRecord, measure, messagesPerSend, partitions } from './kafka-records.ts'

/**
 * @platformatic/kafka alone, used as `kafka-kafkajs.ts` uses kafkajs: a queue per partition, one send in
 * flight for each, all messages prepared. Prints its run.
 */
const [brokers = '', topic = '', records = '0'] = process.argv.slice(2)
const count = Number(records)

type Message = {
  topic: string
  partition: number
  key: Buffer
  value: Buffer
  headers: Map<Buffer, Buffer>
}
const queues: Message[][] = Array.from({ length: partitions }, () => [])
for (let index = 0; index < count; index += 1) {
  const { uuid, event, key, source, line } = createRecord(index)
  const partition = toPartition(Buffer.from(key), partitions)
  const headers = new Map(
    Object.entries({ uuid, event, source }).map(([name, text]) => [
      Buffer.from(name),
      Buffer.from(text),
    ]),
  )
  queues[partition]!.push({
    ...{ topic, partition, key: Buffer.from(key), value: Buffer.from(line), headers },
  })
}

const producer = new Producer({ clientId: 'bench', bootstrapBrokers: brokers.split(',') })

async function drain(queue: readonly Message[]): Promise<void> {
  for (let at = 0; at < queue.length; at += messagesPerSend)
    await producer.send({ messages: queue.slice(at, at + messagesPerSend) as never, acks: -1 })
}
await Promise.all(queues.map((queue) => drain(queue.slice(0, 5000)))) // Warm-up, as in the run of the sink.
const run = await measure('platformatic', count, () => Promise.all(queues.map(drain)))
console.log(JSON.stringify(run))
process.exit()
