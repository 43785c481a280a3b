import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import kafkajs from 'kafkajs'
import { murmur2, toPartition } from '../../../../src/delivery/kafka/partition.ts'

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
