import { describe, expect, test } from 'bun:test'
import { createRequire } from 'node:module'
import fc from 'fast-check'
import {
  type Encoded,
  kafkajs,
  type RecordInput,
  toRecordEncoder,
} from '../../../../src/delivery/kafka/kafkajs-patches.ts'

const load = createRequire(import.meta.url)
const loadSource = (file: string) => load(`kafkajs/src/${file}`)

describe('patched kafkajs', () => {
  test('is the version that the patches are for', () => {
    expect(load('kafkajs/package.json').version).toBe('2.2.4')
    expect(kafkajs.Kafka).toBe(load('kafkajs').Kafka)
  })

  test('encodes records by the patched encoder', () => {
    const encode = loadSource('protocol/recordBatch/record/v0')
    const { buf, buffer } = encode({ key: null, value: Buffer.from('value'), headers: {} })
    expect(buf).toBe(buffer) // The buffer of kafkajs' encoder is longer than the record.
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

  test('sets no timer while no requests are pending', () => {
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

/** The module as kafkajs ships it, also when this process has patched it. */
function loadOriginal(): (input: RecordInput) => Encoded {
  const path = load.resolve('kafkajs/src/protocol/recordBatch/record/v0/index.js')
  const patched = load.cache[path]
  delete load.cache[path]
  const original = load(path)
  if (patched) load.cache[path] = patched
  return original
}

const original = loadOriginal()

function fail(): never {
  throw new Error('passed to the original')
}

const bytes = fc.uint8Array({ maxLength: 400 }).map((array) => Buffer.from(array))
const name = fc.string({ minLength: 1, unit: 'binary-ascii' })

test('encodes records of the sink’s shape byte for byte like kafkajs', () => {
  const encode = toRecordEncoder(fail)
  const record = fc.record({
    key: fc.option(bytes),
    value: bytes,
    headers: fc.dictionary(name, fc.string({ unit: 'grapheme' }), {
      maxKeys: 6,
      noNullPrototype: true,
    }),
    offsetDelta: fc.nat({ max: 100_000 }),
    timestampDelta: fc.constant(0),
  })
  fc.assert(
    fc.property(record, (input) => {
      expect(encode(input).buffer.equals(original(input).buffer)).toBe(true)
    }),
  )
})

test.each<[string, RecordInput]>([
  ['a text value', { key: null, value: 'text' }],
  ['a text key', { key: 'text', value: Buffer.alloc(1) }],
  ['no value', { key: null, value: null }],
  ['a header in bytes', { key: null, value: Buffer.alloc(1), headers: { h: Buffer.alloc(1) } }],
  ['a time of its own', { key: null, value: Buffer.alloc(1), timestampDelta: 1 }],
])('passes a record with %s to kafkajs', (_, input) => {
  expect(toRecordEncoder(original)(input).buffer.equals(original(input).buffer)).toBe(true)
  expect(() => toRecordEncoder(fail)(input)).toThrow('passed to the original')
})
