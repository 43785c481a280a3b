import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { Kafka, logLevel } from 'kafkajs'
import { silentLog } from '../../../src/core/log.ts'
import type { StoredRecord } from '../../../src/core/record.ts'
import { createKafkaSink } from '../../../src/delivery/kafka/sink.ts'
import { until } from '../../support/until.ts'
import {
  makeRecord,
  makeReport,
  makeSettings,
  toBatch,
} from '../../unit/delivery/kafka/fixtures.ts'
import { createTopic, type KafkaService, startKafka } from '../kafka.ts'
import { readTopic, requireKcat } from '../kafka-reader.ts'

setDefaultTimeout(120_000)
const recoveryMsMax = 60_000
let kafka: KafkaService

beforeAll(async () => {
  await requireKcat()
  kafka = await startKafka({ brokers: 2 })
}, 120_000)
afterAll(() => kafka.stop())

let runs = 0

/** A sink under steady load. Every partition of its topics is on both brokers. */
async function startLoad({ minInSync = 1, idempotent = false } = {}) {
  runs += 1
  const settings = {
    ...makeSettings(kafka.brokers, `faults_${runs}`),
    ...{ KAFKA_REPLICATION: 2, KAFKA_LINGER_MS: 20, KAFKA_TIMEOUT_MS: 2000 },
    KAFKA_IDEMPOTENT: idempotent,
  }
  const topic = settings.KAFKA_TOPIC_EVENTS
  await makeTopic(topic, minInSync)
  const { report, retries, dead } = makeReport()
  const options = { settings, log: silentLog, report, now: Date.now, metadataMsMax: 500 }
  const sink = createKafkaSink(options)
  const sent: StoredRecord[] = []
  const shipper = new AbortController()
  let shipped = 0
  let isOn = true

  async function ship(): Promise<void> {
    while (isOn) {
      const records = Array.from({ length: 50 }, (_, index) => {
        const offset = sent.length + index
        return makeRecord({ offset, user: `user-${offset % 97}`, properties: { offset } })
      })
      sent.push(...records)
      await sink.ship(toBatch(records), shipper.signal)
      shipped += records.length
    }
  }
  const loops = Array.from({ length: sink.inflightMax }, ship)

  return {
    ...{ sink, retries },
    shipped: () => shipped,
    /** Waits until the brokers have confirmed 500 more records. */
    async progress(): Promise<void> {
      const from = shipped
      await until(() => shipped > from + 500, { timeoutMs: recoveryMsMax, what: 'progress' })
    },
    async end(): Promise<Outcome> {
      isOn = false
      await Promise.all(loops)
      const { duplicates, ...outcome } = await toOutcome(sent, topic)
      if (idempotent) expect(duplicates).toBe(0)
      expect(dead).toEqual([])
      await sink.close()
      return outcome
    },
  }
}

async function makeTopic(topic: string, minInSync: number): Promise<void> {
  const admin = new Kafka({ brokers: kafka.brokers, logLevel: logLevel.NOTHING }).admin()
  await admin.connect()
  const configEntries = [{ name: 'min.insync.replicas', value: String(minInSync) }]
  await createTopic(admin, { topic, numPartitions: 4, replicationFactor: 2, configEntries })
  await admin.disconnect()
}

type Outcome = { lost: number; altered: number; disordered: number; unsent: number }

/** The required outcome of every fault. Duplicates are allowed unless the producer is idempotent. */
const unharmed: Outcome = { lost: 0, altered: 0, disordered: 0, unsent: 0 }

async function toOutcome(sent: StoredRecord[], topic: string) {
  const lines = new Map(sent.map(({ line, head }) => [head().uuid, Buffer.from(line).toString()]))
  const lastOffset = new Map<string, number>()
  const seen = new Set<string>()
  const outcome = { ...unharmed, duplicates: 0 }
  for (const { key, value, headers } of await readTopic(kafka.brokers, topic)) {
    const uuid = headers.uuid!
    if (seen.has(uuid)) outcome.duplicates += 1
    if (seen.has(uuid)) continue
    seen.add(uuid)
    const line = lines.get(uuid)
    if (line === undefined) outcome.unsent += 1
    else if (line !== `${value}\n`) outcome.altered += 1
    const { offset } = JSON.parse(value).properties
    if (offset < (lastOffset.get(key) ?? -1)) outcome.disordered += 1
    lastOffset.set(key, offset)
  }
  outcome.lost = [...lines.keys()].filter((uuid) => !seen.has(uuid)).length
  return outcome
}

describe.each([
  ['under load, nothing acknowledged is lost, altered or reordered', false],
  ['the same holds for an idempotent producer, and nothing is doubled,', true],
])('%s when', (_, idempotent) => {
  test('a broker is killed and restarted', async () => {
    const load = await startLoad({ idempotent })
    await load.progress()
    await kafka.nodes[1]!.kill()
    await load.progress()
    await kafka.nodes[1]!.restart()
    await load.progress()
    expect(await load.end()).toEqual(unharmed)
  })

  test('all brokers are killed and restarted', async () => {
    const load = await startLoad({ idempotent })
    await load.progress()
    await kafka.kill()
    await until(() => !load.sink.isHealthy(), { what: 'the sink noticing' })
    await kafka.restart()
    await load.progress()
    expect(load.sink.isHealthy()).toBe(true)
    expect(await load.end()).toEqual(unharmed)
  })

  test('a required replica is lost: all records wait until it returns', async () => {
    const load = await startLoad({ minInSync: 2, idempotent })
    await load.progress()
    await kafka.nodes[1]!.kill()
    await until(() => !load.sink.isHealthy(), { what: 'the sink noticing' })
    await until(() => load.retries.length > 10, { timeoutMs: recoveryMsMax })
    const waitingFrom = load.shipped()
    await until(() => load.retries.length > 20, { timeoutMs: recoveryMsMax })
    expect(load.shipped()).toBe(waitingFrom)
    await kafka.nodes[1]!.restart()
    await load.progress()
    expect(await load.end()).toEqual(unharmed)
  })

  test.each([
    ['a broker hangs', () => [kafka.nodes[1]!]],
    ['all brokers hang', () => kafka.nodes],
  ])('%s and goes on later', async (_, hung) => {
    const load = await startLoad({ idempotent })
    await load.progress()
    for (const node of hung()) node.pause()
    // Another broker may take over before a second attempt fails, so the sink may stay healthy.
    await until(() => load.retries.length > 0, { timeoutMs: recoveryMsMax, what: 'a retry' })
    for (const node of hung()) node.resume()
    await load.progress()
    expect(await load.end()).toEqual(unharmed)
  })
})
