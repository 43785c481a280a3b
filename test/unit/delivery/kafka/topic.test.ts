import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import kafkajs from 'kafkajs'
import { silentLog } from '../../../../src/core/log.ts'
import type { SendFault } from '../../../../src/delivery/kafka/fault.ts'
import { toMessage } from '../../../../src/delivery/kafka/message.ts'
import {
  createClosing,
  createLinger,
  createPendingBatch,
} from '../../../../src/delivery/kafka/partition-queue.ts'
import { createTopic, murmur2, toPartition } from '../../../../src/delivery/kafka/topic.ts'
import type { TopicFacts } from '../../../../src/delivery/kafka/topics.ts'
import { until } from '../../../support/until.ts'
import { makeFault, makeRecord, type RecordFields, toReceived } from './fixtures.ts'

type Sent = { partition: number; user: string }

function makeTopic(options: {
  ensure(): Promise<TopicFacts>
  answer?(partition: number): SendFault | undefined
}) {
  const sent: Sent[] = []
  const rejected: string[] = []
  const retries: string[] = []
  /** A pause ends in the next event-loop iteration. */
  const pause = () => new Promise<void>((resolve) => setImmediate(resolve))
  const closing = { ...createClosing(), pause }
  const topic = createTopic({
    ...{ name: 'events', linger: createLinger(0), closing, log: silentLog, ensure: options.ensure },
    async send(partition, messages) {
      const fault = options.answer?.(partition)
      if (fault) return fault
      for (const message of messages)
        sent.push({ partition, user: String(toReceived(message).key) })
      return undefined
    },
    onDelivered(messages) {
      for (const { batch } of messages) batch.arrived()
    },
    onRejected({ batch }, { message }) {
      rejected.push(message)
      batch.arrived()
    },
    onRetry: (reason, message) => retries.push(`${reason}: ${message}`),
  })
  function ship(records: RecordFields[]): Promise<void> {
    const { batch, done } = createPendingBatch(records.length, [closing.signal])
    for (const fields of records) {
      const record = makeRecord(fields)
      const message = toMessage(record, 0)
      topic.enqueue({ record, message, batch })
    }
    return done
  }
  return { topic, ship, sent, rejected, retries }
}

const facts = async (): Promise<TopicFacts> => ({ partitions: 4, bytesMax: 10_000 })
const usersOf = (count: number) => Array.from({ length: count }, (_, n) => ({ user: `user-${n}` }))
const partitionOf = (user: string, partitions: number) => toPartition(Buffer.from(user), partitions)

describe('a topic', () => {
  test('sends each record to the partition of its key', async () => {
    const { ship, sent } = makeTopic({ ensure: facts })
    await ship(usersOf(50))
    expect(sent).toHaveLength(50)
    for (const { user, partition } of sent) expect(partition).toBe(partitionOf(user, 4))
    expect(new Set(sent.map(({ partition }) => partition)).size).toBe(4)
  })

  test('holds messages until the brokers answer, and is unhealthy meanwhile', async () => {
    let answers = 0
    const { topic, ship, sent, retries } = makeTopic({
      async ensure() {
        answers += 1
        if (answers < 5) throw new Error('connect ECONNREFUSED')
        expect(topic.isHealthy()).toBe(false)
        return facts()
      },
    })
    await ship(usersOf(10))
    expect(sent).toHaveLength(10)
    expect(topic.isHealthy()).toBe(true)
    expect(retries).toEqual(Array(4).fill('client: events: connect ECONNREFUSED'))
  })

  test('spreads records without a key evenly over the partitions that do not fail', async () => {
    let isBroken = true
    const { ship, sent } = makeTopic({
      ensure: facts,
      answer: (partition) => (partition === 1 && isBroken ? makeFault('retry') : undefined),
    })
    const overflow = (count: number) =>
      Array.from({ length: count }, () => ({ route: 'overflow' as const }))
    const counts = () =>
      [0, 1, 2, 3].map((n) => sent.filter(({ partition }) => partition === n).length)
    const first = ship(overflow(4))
    await until(() => sent.length === 3)
    const rest = ship(overflow(30))
    await rest
    expect(counts()).toEqual([11, 0, 11, 11])
    isBroken = false
    await first
    expect(counts()).toEqual([11, 1, 11, 11])
  })

  test('rejects a message above the limit of the topic without sending it', async () => {
    const { ship, sent, rejected } = makeTopic({ ensure: facts })
    await ship([{}, { properties: { a: 'x'.repeat(20_000) } }, {}])
    expect(sent).toHaveLength(2)
    expect(rejected).toEqual([
      expect.stringMatching(/^the message takes 2\d{4} bytes; topic events accepts 10000$/),
    ])
  })

  test('uses new partitions when the count has grown', async () => {
    const { topic, ship, sent } = makeTopic({ ensure: facts })
    await ship(usersOf(1))
    topic.setPartitions(16)
    await ship(usersOf(100))
    for (const { user, partition } of sent.slice(1)) expect(partition).toBe(partitionOf(user, 16))
  })

  test('sends messages of a removed partition again, by the new count', async () => {
    let partitions = 4
    const { ship, sent, topic, retries } = makeTopic({
      ensure: async () => ({ partitions, bytesMax: 10_000 }),
      answer: (partition) => (partition >= partitions ? makeFault('no_topic') : undefined),
    })
    await ship(usersOf(1))
    sent.length = 0
    partitions = 2
    await ship(usersOf(40))
    expect(sent).toHaveLength(40)
    for (const { user, partition } of sent) expect(partition % 2).toBe(partitionOf(user, 2) % 2)
    expect(retries).not.toBeEmpty()
    expect(topic.isHealthy()).toBe(true)
  })
})

describe('murmur2', () => {
  /** From Apache Kafka's own UtilsTest. */
  test.each([
    ['21', -973932308],
    ['foobar', -790332482],
    ['a-little-bit-long-string', -985981536],
    ['a-little-bit-longer-string', -1486304829],
    ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
    ['abc', 479470107],
  ])('hashes %j as Kafka does', (text, hash) => {
    expect(murmur2(Buffer.from(text))).toBe(hash)
  })
})

test('chooses the partition that the default partitioner of kafkajs chooses, for any key', () => {
  const reference = kafkajs.Partitioners.DefaultPartitioner()
  const partitionMetadata = (count: number) =>
    Array.from({ length: count }, (_, partitionId) => ({ partitionId, leader: 1 })) as never
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 64 }),
      fc.integer({ min: 1, max: 300 }),
      (key, count) => {
        const message = { key: Buffer.from(key), value: null }
        const topic = { topic: 't', partitionMetadata: partitionMetadata(count), message }
        expect(toPartition(key, count)).toBe(reference(topic))
      },
    ),
  )
})
