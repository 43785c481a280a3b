import { expect, setDefaultTimeout, test } from 'bun:test'
import { join } from 'node:path'
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import kafkajs from 'kafkajs'
import { silentLog } from '../../../src/core/log.ts'
import { createKafkaSink } from '../../../src/delivery/kafka/sink.ts'
import { toPartition } from '../../../src/delivery/kafka/topic.ts'
import { until } from '../../support/until.ts'
import {
  makeRecord,
  makeReport,
  makeSettings,
  toBatch,
} from '../../unit/delivery/kafka/fixtures.ts'
import { requireCommand, requireKafkaJars } from '../install.ts'
import { shared } from '../shared.ts'

setDefaultTimeout(120_000)
const { CompressionCodecs, CompressionTypes, Kafka, logLevel } = kafkajs

/** Runs a single-file program with Kafka's jars and a JDK. */
async function java(program: string, args: string[], input = ''): Promise<string[]> {
  await requireCommand('javac', 'default-jdk-headless')
  const classPath = join(await requireKafkaJars(), '*')
  const source = join(import.meta.dir, '../..', 'services', 'kafka', `${program}.java`)
  const quiet = '-Dorg.slf4j.simpleLogger.defaultLogLevel=error'
  const options = ['-Dfile.encoding=UTF-8', quiet, '-cp', classPath]
  const child = Bun.spawn(['java', ...options, source, ...args], {
    stdin: Buffer.from(input),
    stdout: 'pipe',
    stderr: 'pipe',
  })
  const [output, errors] = await Promise.all([child.stdout.text(), child.stderr.text()])
  if ((await child.exited) !== 0) throw new Error(`${program}.java failed: ${errors}`)
  return output.split('\n').slice(0, -1)
}

const compressions = ['none', 'gzip', 'zstd'] as const

/** Ships three records in batches that are compressed in this way. */
async function ship(compression: (typeof compressions)[number]) {
  const prefix = `consumer_${crypto.randomUUID()}`
  const settings = {
    ...makeSettings(await shared.kafka(), prefix),
    KAFKA_COMPRESSION: compression,
  }
  const sink = createKafkaSink({ settings, log: silentLog, now: Date.now, ...makeReport() })
  const records = [
    makeRecord({ user: 'small' }),
    makeRecord({ user: 'grüße 😀', event: 'événement' }),
    makeRecord({ user: 'large', properties: { text: 'ü'.repeat(3000) } }),
  ]
  await sink.ship(toBatch(records), new AbortController().signal)
  await sink.close()
  return { records, brokers: settings.KAFKA_BROKERS, topic: settings.KAFKA_TOPIC_EVENTS }
}

test.each(compressions)(
  'a Java consumer reads every record as documented, compression %s',
  async (compression) => {
    const { records, brokers, topic } = await ship(compression)
    const received = await java('Consumer', [brokers.join(','), topic])
    const expected = records.map(({ source, line, head }) => {
      const { key, uuid, event } = head()
      const value = Buffer.from(line).toString().trimEnd()
      return [toPartition(Buffer.from(key), 4), key, uuid, event, source, value].join('\t')
    })
    expect(received.sort()).toEqual(expected.sort())
  },
)

test.each(compressions)('kafkajs reads every record, compression %s', async (compression) => {
  const { records, brokers, topic } = await ship(compression)
  // kafkajs undoes gzip by itself; it takes other codecs from outside.
  CompressionCodecs[CompressionTypes.ZSTD] = () => ({
    compress: ({ buffer }: { buffer: Buffer }) => zstdCompressSync(buffer),
    decompress: (bytes: Buffer) => zstdDecompressSync(bytes),
  })
  const kafka = new Kafka({ brokers, logLevel: logLevel.NOTHING })
  const consumer = kafka.consumer({ groupId: `${topic}_group`, maxWaitTimeInMs: 50 })
  const received: string[] = []
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await consumer.run({
    eachMessage: async ({ message }) => void received.push(String(message.headers!.uuid)),
  })
  await until(() => received.length === records.length, { timeoutMs: 30_000, what: 'records' })
  await consumer.disconnect()
  expect(received.sort()).toEqual(records.map((record) => record.head().uuid).sort())
})

test('a Java producer chooses the same partitions', async () => {
  const keys = Array.from(
    { length: 2000 },
    (_, n) => `project-${n % 7}:käufer-${n}-${'x'.repeat(n % 9)}`,
  )
  const counts = [1, 8, 13]
  const chosen = await java('Partitions', counts.map(String), `${keys.join('\n')}\n`)
  const ours = keys.flatMap((key) => counts.map((n) => toPartition(Buffer.from(key), n)))
  expect(ours.map(String)).toEqual(chosen)
})
