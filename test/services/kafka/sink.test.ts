import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { type Admin, ConfigResourceTypes, Kafka, logLevel } from 'kafkajs'
import type { StoredRecord } from '../../../src/core/record.ts'
import type { Sink } from '../../../src/core/sink.ts'
import { type KafkaSettings, toTopics } from '../../../src/delivery/kafka/settings.ts'
import { createKafkaSink } from '../../../src/delivery/kafka/sink.ts'
import { toPartition } from '../../../src/delivery/kafka/topic.ts'
import { until } from '../../support/until.ts'
import {
  makeLog,
  makeRecord,
  makeReport,
  makeSettings,
  toBatch,
} from '../../unit/delivery/kafka/fixtures.ts'
import { createTopic } from '../kafka.ts'
import { type Received, readTopic, readValue, requireKcat } from '../kafka-reader.ts'
import { shared } from '../shared.ts'

const startMsMax = 120_000
setDefaultTimeout(60_000)
let brokers: string[]
let admin: Admin

beforeAll(async () => {
  await requireKcat()
  brokers = await shared.kafka()
  admin = new Kafka({ brokers, logLevel: logLevel.NOTHING }).admin()
  await admin.connect()
}, startMsMax)
afterAll(() => admin.disconnect())

let topicsMade = 0
const open: Sink[] = []
afterAll(() => Promise.all(open.map((sink) => sink.close())))

/** A sink with topics of its own. */
function makeSink(overrides: Partial<KafkaSettings> = {}) {
  topicsMade += 1
  const prefix = `sink${process.pid}_${topicsMade}`
  const settings = { ...makeSettings(brokers, prefix), ...overrides }
  const log = makeLog()
  const { report, retries, dead } = makeReport()
  const start = () => {
    const sink = createKafkaSink({ settings, log, report, now: () => 0, metadataMsMax: 100 })
    open.push(sink)
    return sink
  }
  return { topics: toTopics(settings), log, retries, dead, start }
}

const { signal } = new AbortController()
const ship = (sink: Sink, records: StoredRecord[]) => sink.ship(toBatch(records), signal)

async function settingsOf(topic: string, ...names: string[]): Promise<Record<string, string>> {
  const { resources } = await admin.describeConfigs({
    resources: [{ type: ConfigResourceTypes.TOPIC, name: topic, configNames: names }],
    includeSynonyms: false,
  })
  const entries = resources[0]!.configEntries.map((one) => [one.configName, one.configValue])
  return Object.fromEntries(entries)
}

async function partitionsOf(topic: string): Promise<number> {
  const { topics } = await admin.fetchTopicMetadata({ topics: [topic] })
  return topics[0]!.partitions.length
}

describe('records', () => {
  test('arrive with the documented partition, key, headers and value', async () => {
    const { start, topics } = makeSink()
    const records = Array.from({ length: 200 }, (_, n) => makeRecord({ user: `user-${n}` }))
    await ship(start(), records)
    const received = await readTopic(brokers, topics.events)
    const byUuid = new Map(received.map((one) => [one.headers.uuid, one]))
    expect(byUuid.size).toBe(200)
    for (const record of records) {
      const { uuid, event, key } = record.head()
      expect(byUuid.get(uuid)).toMatchObject({
        partition: toPartition(Buffer.from(key), 4),
        key,
        headers: { uuid, event, source: 'capture' },
        value: Buffer.from(record.line).toString().trimEnd(),
      })
    }
  })

  test('go to the topic of their kind and route', async () => {
    const { start, topics } = makeSink()
    await ship(start(), [
      makeRecord({ event: 'main' }),
      makeRecord({ event: 'overflow', route: 'overflow' }),
      makeRecord({ event: 'historical', route: 'historical' }),
      makeRecord({ event: 'recording', kind: 'recording' }),
      makeRecord({ event: 'link', kind: 'link' }),
      makeRecord({ event: 'dead', kind: 'dead_letter' }),
    ])
    const names = [topics.events, topics.overflow, topics.historical]
    names.push(topics.recordings, topics.linkEvents, topics.deadLetters)
    const contents = await Promise.all(names.map((topic) => readTopic(brokers, topic)))
    expect(contents.map((received) => received.map((one) => one.headers.event))).toEqual([
      ['main'],
      ['overflow'],
      ['historical'],
      ['recording'],
      ['link'],
      ['dead'],
    ])
    expect(contents[1]![0]!.key).toBe('')
  })

  test('are gzipped when their properties exceed 1 KiB', async () => {
    const { start, topics } = makeSink({ KAFKA_PARTITIONS: 1 })
    const record = makeRecord({ properties: { a: 'é'.repeat(600) } })
    await ship(start(), [record])
    const value = await readValue(brokers, topics.events, { partition: 0, offset: 0 })
    expect(Buffer.from(Bun.gunzipSync(new Uint8Array(value))).toString()).toBe(
      Buffer.from(record.line).toString().trimEnd(),
    )
  })

  test('keep their order per key across overlapping batches', async () => {
    const { start, topics } = makeSink()
    const sink = start()
    const records = Array.from({ length: 8000 }, (_, offset) =>
      makeRecord({ offset, user: `user-${offset % 50}`, properties: { offset } }),
    )
    const batches = Array.from({ length: 8 }, (_, n) => records.slice(n * 1000, (n + 1) * 1000))
    await Promise.all(batches.map((batch) => ship(sink, batch)))
    const received = await readTopic(brokers, topics.events)
    expect(received).toHaveLength(8000)
    expect(disordered(received)).toEqual([])
  })
})

/** Keys of records that arrived after a record with a larger offset. */
function disordered(received: Received[]): string[] {
  const last = new Map<string, number>()
  return received.flatMap(({ key, value }) => {
    const { offset } = JSON.parse(value).properties
    const isLate = offset < (last.get(key) ?? -1)
    last.set(key, offset)
    return isLate ? [key] : []
  })
}

describe('topics', () => {
  test('are created with the configured partitions and limit', async () => {
    const { start, topics } = makeSink({ KAFKA_PARTITIONS: 3, KAFKA_MESSAGE_BYTES_MAX: 123_456 })
    await ship(
      start(),
      Object.values(topics).map((_, n) => makeRecord({ user: `${n}` })),
    )
    await until(async () => (await partitionsOf(topics.deadLetters).catch(() => 0)) === 3)
    expect(await partitionsOf(topics.events)).toBe(3)
    expect(await settingsOf(topics.events, 'max.message.bytes')).toEqual({
      'max.message.bytes': '123456',
    })
  })

  test('that cannot be created make the sink unhealthy, with the reason', async () => {
    const { start, retries } = makeSink({ KAFKA_REPLICATION: 3 })
    const sink = start()
    // A single broker cannot hold three replicas: it rejects every attempt.
    await until(() => !sink.isHealthy())
    expect(retries[0]!.message).toContain('Replication-factor is invalid')
  })

  test('with a smaller limit cause a warning; larger records become dead letters', async () => {
    const { start, topics, log, dead } = makeSink()
    const configEntries = [{ name: 'max.message.bytes', value: '20000' }]
    await createTopic(admin, { topic: topics.events, numPartitions: 1, configEntries })
    const sink = start()
    const large = makeRecord({ uuid: 'large', properties: toNoise(40_000) })
    await ship(sink, [makeRecord({ event: 'before' }), large, makeRecord({ event: 'after' })])
    expect(log.lines).toContainEqual(
      expect.objectContaining({ level: 'warn', topic: topics.events, bytesMax: 20_000 }),
    )
    const kept = await readTopic(brokers, topics.events)
    expect(kept.map((one) => one.headers.event)).toEqual(['before', 'after'])
    const [letter] = await readTopic(brokers, topics.deadLetters)
    expect(letter).toMatchObject({
      key: 'p1',
      headers: { uuid: 'large', event: 'record_too_large' },
    })
    expect(JSON.parse(letter!.value)).toMatchObject({
      ...{ uuid: 'large', project: 'p1', protocol: 'capture', stage: 'kafka' },
      ...{ reason: 'record_too_large', received_at: '1970-01-01T00:00:00.000Z' },
      raw: Buffer.from(large.line)
        .toString()
        .slice(0, 16 * 1024),
    })
    expect(dead).toEqual([{ uuid: 'large', reason: 'record_too_large' }])
  })

  test('with a limit that is lowered later reject only the records above it', async () => {
    const { start, topics, dead } = makeSink({ KAFKA_PARTITIONS: 1, KAFKA_COMPRESS_ABOVE_BYTES: 0 })
    const sink = start()
    await ship(sink, [makeRecord()])
    await admin.alterConfigs({
      validateOnly: false,
      resources: [
        {
          type: ConfigResourceTypes.TOPIC,
          name: topics.events,
          configEntries: [{ name: 'max.message.bytes', value: '5000' }],
        },
      ],
    })
    // A broker applies a new setting a little later.
    await until(async () => {
      await ship(sink, [makeRecord({ properties: toNoise(9000) })])
      return dead.length > 0
    })
    const before = (await readTopic(brokers, topics.events)).length
    const records = Array.from({ length: 40 }, (_, n) =>
      makeRecord({ uuid: `${n}`, properties: n === 13 ? toNoise(9000) : { n } }),
    )
    await ship(sink, records)
    const kept = (await readTopic(brokers, topics.events)).slice(before)
    const others = records.map((record) => record.head().uuid).filter((uuid) => uuid !== '13')
    expect(kept.map((one) => one.headers.uuid)).toEqual(others)
    const letters = await readTopic(brokers, topics.deadLetters)
    expect(letters.at(-1)!.headers.uuid).toBe('13')
    expect(dead.slice(1)).toEqual([{ uuid: '13', reason: 'record_too_large' }])
  })

  test('that reject a record for another reason lose only that record to the dead letters', async () => {
    const { start, topics, dead } = makeSink()
    const configEntries = [{ name: 'cleanup.policy', value: 'compact' }]
    await createTopic(admin, { topic: topics.overflow, configEntries })
    const sink = start()
    // A compacted topic rejects records without a key.
    await ship(sink, [makeRecord({ route: 'overflow', uuid: 'keyless' }), makeRecord()])
    const letters = await readTopic(brokers, topics.deadLetters)
    expect(letters.map((one) => one.headers)).toEqual([
      { uuid: 'keyless', event: 'record_refused', source: 'capture' },
    ])
    expect(dead).toEqual([{ uuid: 'keyless', reason: 'record_refused' }])
  })

  test('with added partitions are used in full without a restart', async () => {
    const { start, topics } = makeSink({ KAFKA_PARTITIONS: 1 })
    const sink = start()
    const records = Array.from({ length: 50 }, (_, n) => makeRecord({ user: `user-${n}` }))
    await ship(sink, records)
    await admin.createPartitions({ topicPartitions: [{ topic: topics.events, count: 5 }] })
    await until(async () => {
      await ship(sink, records)
      const received = await readTopic(brokers, topics.events)
      return new Set(received.map(({ partition }) => partition)).size === 5
    })
    const received = await readTopic(brokers, topics.events)
    for (const { key, partition } of received)
      if (partition > 0) expect(partition).toBe(toPartition(Buffer.from(key), 5))
  })

  test('are created again after they were deleted', async () => {
    const { start, topics } = makeSink()
    const sink = start()
    await ship(sink, [makeRecord()])
    await admin.deleteTopics({ topics: [topics.events] })
    const records = Array.from({ length: 50 }, (_, n) => makeRecord({ user: `user-${n}` }))
    // A broker may still accept records for a moment; they are deleted with the topic.
    await until(async () => {
      await ship(sink, records)
      const received = await readTopic(brokers, topics.events)
      return new Set(received.map(({ key }) => key)).size === 50
    })
    expect(sink.isHealthy()).toBe(true)
  })
})

/** Properties that compression does not shrink. */
function toNoise(bytes: number): object {
  const noise = crypto.getRandomValues(new Uint8Array((bytes * 3) / 4))
  return { noise: Buffer.from(noise).toString('base64') }
}

test('skips an unreachable broker for another of the list', async () => {
  const { start, topics } = makeSink({ KAFKA_BROKERS: ['127.0.0.1:1', ...brokers, '127.0.0.1:2'] })
  await ship(start(), [makeRecord()])
  expect(await readTopic(brokers, topics.events)).toHaveLength(1)
})

test('rejects an aborted batch, and all batches when the sink closes', async () => {
  const { start } = makeSink({ KAFKA_BROKERS: ['127.0.0.1:1'] })
  const sink = start()
  const controller = new AbortController()
  const aborted = sink.ship(toBatch([makeRecord()]), controller.signal)
  const closed = ship(sink, [makeRecord()])
  controller.abort(new Error('draining'))
  await expect(aborted).rejects.toThrow('draining')
  await until(() => !sink.isHealthy())
  await Promise.all([sink.close(), expect(closed).rejects.toThrow('closed')])
})
