import { describe, expect, test } from 'bun:test'
import { createRequire } from 'node:module'
import fc from 'fast-check'
import { kafkajs } from '../../../../src/delivery/kafka/kafkajs-patches.ts'

const load = createRequire(import.meta.url)
const loadSource = (file: string) => load(`kafkajs/src/${file}`)

describe('kafkajs as we mend it', () => {
  test('is the version that was mended', () => {
    expect(load('kafkajs/package.json').version).toBe('2.2.4')
    expect(kafkajs.Kafka).toBe(load('kafkajs').Kafka)
  })

  test('encodes our records by our own encoder', () => {
    const encode = loadSource('protocol/recordBatch/record/v0')
    const { buf, buffer } = encode({ key: null, value: Buffer.from('value'), headers: {} })
    expect(buf).toBe(buffer) // kafkajs' own has room to spare behind what it wrote.
  })

  test('groups messages by partition, in their order', () => {
    const group = loadSource('producer/groupMessagesPerPartition')
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 5 })), (partitions) => {
        const messages = partitions.map((partition, index) => ({ partition, index }))
        const groups = group({
          ...{ topic: 't', partitionMetadata: [{}], messages },
          partitioner: ({ message }: { message: { partition: number } }) => message.partition,
        })
        for (const partition of new Set(partitions))
          expect(groups[partition]).toEqual(messages.filter((one) => one.partition === partition))
        expect(Object.values(groups).flat()).toHaveLength(messages.length)
      }),
    )
  })

  test('sets no timer for held-back requests while there are none', () => {
    const RequestQueue = loadSource('network/requestQueue')
    const queue = new RequestQueue({ logger: { debug() {} } })
    queue.checkPendingRequests()
    expect(queue.throttleCheckTimeoutId).toBeNull()
    queue.pending.push({})
    queue.throttledUntil = Date.now() + 60_000
    queue.checkPendingRequests()
    expect(queue.throttleCheckTimeoutId).not.toBeNull()
    queue.destroy()
  })
})
