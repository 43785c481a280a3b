import { expect, test } from 'bun:test'
import { Kafka, logLevel } from 'kafkajs'
import { settle, toTopicSettings } from '../../support/delivery.ts'
import { scrape } from '../../support/metrics.ts'
import { startSpillway } from '../../support/spillway.ts'
import { until } from '../../support/until.ts'
import { createTopic } from '../kafka.ts'
import { shared } from '../shared.ts'

const topicBytesMax = 200_000

/** A text that gzip cannot make smaller than its random bytes. */
const randomText = (bytes: number) =>
  Buffer.from(crypto.getRandomValues(new Uint8Array(bytes))).toString('base64')

const snapshots = Array.from({ length: 24 }, (_, index) => ({
  event: '$snapshot',
  properties: {
    ...{ token: 'phc_limit', distinct_id: 'u', $session_id: 's', $window_id: 'w' },
    // One of them exceeds the limit alone.
    $snapshot_data: [{ type: 3, index, data: randomText(index === 7 ? 60_000 * 4 : 40_000) }],
  },
}))

test('splits recordings by the limit of a topic that was created beforehand', async () => {
  const brokers = await shared.kafka()
  const topics = toTopicSettings(`limit${process.pid}`)
  const topic = topics.KAFKA_TOPIC_RECORDINGS!
  const admin = new Kafka({ brokers, logLevel: logLevel.NOTHING }).admin()
  await admin.connect()
  const configEntries = [{ name: 'max.message.bytes', value: String(topicBytesMax) }]
  await createTopic(admin, { topic, numPartitions: 1, configEntries })

  await using server = await startSpillway({ ...topics, KAFKA_BROKERS: brokers.join(',') })
  const knowsLimit = () => server.log().includes('recordings are split by its limit')
  await until(knowsLimit, { timeoutMs: 30_000, what: 'the limit of the topic' })
  // The delivery thread reports its status every 250 ms.
  const knows = async () =>
    (await scrape(server.url))('spillway_recording_bytes_max') <= topicBytesMax
  await until(knows, { what: 'the limit in the HTTP thread' })
  const body = JSON.stringify(snapshots)
  const reply = await fetch(`${server.url}/s/`, { method: 'POST', body })
  expect(await reply.json()).toEqual({ code: 1, status: 'ok' })
  await settle(server)

  const read = await scrape(server.url)
  expect(read('spillway_sink_dead_lettered_total', { sink: 'kafka' })).toBe(0)
  const [rows] = await server.query<{ count: number }>(
    'SELECT toUInt32(count()) AS count FROM recordings',
  )
  expect(rows!.count).toBeGreaterThan(7)
  const [partition] = await admin.fetchTopicOffsets(topic)
  expect(Number(partition!.high)).toBe(rows!.count)
  await admin.disconnect()
}, 120_000)
