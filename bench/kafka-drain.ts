import { join } from 'node:path'
import { silentLog } from '../src/core/log.ts'
import type { StoredRecord } from '../src/core/record.ts'
import { createKafkaSink } from '../src/sinks/kafka.ts'
import type { KafkaSettings } from '../src/sinks/kafka-settings.ts'
import { startKafka } from '../test/services/kafka.ts'
import { makeRecords, measure, partitions, type Run } from './kafka-records.ts'

/**
 * How fast the Kafka sink ships, beside a bare kafkajs producer that sends the same records to the same
 * broker in turn: `bun bench/kafka-drain.ts [records] [rounds]`. Prints each run, then the median ratio.
 */
const count = Number(process.argv[2] ?? 400_000)
const rounds = Number(process.argv[3] ?? 3)
const recordsPerShip = 5000

async function runBare(brokers: readonly string[], topic: string): Promise<Run> {
  const script = join(import.meta.dir, 'kafka-bare.ts')
  const args = [brokers.join(','), topic, String(count)]
  const child = Bun.spawn([process.execPath, script, ...args], { stderr: 'ignore' })
  return JSON.parse(await child.stdout.text())
}

async function runSink(settings: KafkaSettings, records: StoredRecord[]): Promise<Run> {
  const sink = createKafkaSink({ settings, log: silentLog, now: Date.now })
  const { signal } = new AbortController()
  let next = 0
  async function drain(end: number): Promise<void> {
    while (next < end) {
      const slice = records.slice(next, Math.min(end, next + recordsPerShip))
      next += slice.length
      const [firstOffset, lastOffset] = [slice[0]!.offset, slice.at(-1)!.offset]
      await sink.ship({ firstOffset, lastOffset, records: slice }, signal)
    }
  }
  const drainAll = (end: number) =>
    Promise.all(Array.from({ length: sink.inflightMax }, () => drain(end)))
  await drainAll(Math.min(40_000, records.length))
  next = 0
  const run = await measure('sink', count, () => drainAll(records.length))
  await sink.close()
  return run
}

function toSettings(brokers: readonly string[], topic: string): KafkaSettings {
  const spare = { overflow: topic, historical: topic, recordings: topic, linkEvents: topic }
  return {
    ...{ brokers, partitions, replication: 1, lingerMs: 20, compressAboveBytes: 1024 },
    topics: { events: topic, ...spare, deadLetters: topic },
    ...{ messageBytesMax: 4 * 1024 * 1024, timeoutMs: 30_000, tls: undefined, sasl: undefined },
  }
}

async function main(): Promise<void> {
  const given = process.env.KAFKA_BROKERS?.split(',')
  const kafka = given ? undefined : await startKafka({ fullSpeed: true })
  const settings = toSettings(given ?? kafka!.brokers, `drain_${process.pid}`)
  const records = makeRecords(count)
  console.log(JSON.stringify({ records: count, bytes: records[0]!.line.length, partitions }))
  await runSink(settings, records) // Makes the topic, and warms the broker.
  const ratios: number[] = []
  for (let round = 0; round < rounds; round += 1) {
    const bare = await runBare(settings.brokers, settings.topics.events)
    const sink = await runSink(settings, records)
    for (const run of [bare, sink]) console.log(JSON.stringify({ round, ...run }))
    ratios.push(sink.perSecond / bare.perSecond)
  }
  const median = ratios.sort((a, b) => a - b)[ratios.length >> 1]!
  console.log(JSON.stringify({ ratio: Number(median.toFixed(2)), wanted: 0.9 }))
  await kafka?.stop()
  process.exitCode = median >= 0.9 ? 0 : 1
}

await main()
process.exit()
