import { silentLog } from '../../../src/core/log.ts'
import { toTopics } from '../../../src/delivery/kafka/settings.ts'
import { createKafkaSink } from '../../../src/delivery/kafka/sink.ts'
import { makeReport, makeSettings } from '../../unit/delivery/kafka/fixtures.ts'
import { readTopic, requireKcat } from '../kafka-reader.ts'
import { shared } from '../shared.ts'
import { describeSink, type SinkUnderTest } from './sink-contract.ts'

describeSink('Kafka', { open, isExactlyOnce: false })

async function open(): Promise<SinkUnderTest> {
  await requireKcat()
  const brokers = await shared.kafka()
  // One partition, so that records of different keys have an order.
  const prefix = `contract_${crypto.randomUUID()}`
  const settings = {
    ...makeSettings(brokers, prefix),
    ...{ KAFKA_PARTITIONS: 1, KAFKA_COMPRESS_ABOVE_BYTES: 0 },
  }
  const sink = createKafkaSink({ settings, log: silentLog, now: Date.now, ...makeReport() })
  async function stored(): Promise<string[]> {
    const { events, recordings, linkEvents, deadLetters } = toTopics(settings)
    const topics = [events, recordings, linkEvents, deadLetters]
    const contents = await Promise.all(topics.map((topic) => readTopic(brokers, topic)))
    return contents.flat().map(({ headers }) => headers.uuid!)
  }
  return { sink, stored }
}
