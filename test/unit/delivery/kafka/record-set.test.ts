import { describe, expect, test } from 'bun:test'
import { createRequire } from 'node:module'
import { zstdDecompressSync } from 'node:zlib'
import fc from 'fast-check'
import { sourceNumbers } from '../../../../src/core/event.ts'
import { toEncodedRecord } from '../../../../src/core/record.ts'
import type { KafkaMessage } from '../../../../src/delivery/kafka/message.ts'
import {
  crc32c,
  encodeRecordSet,
  type RecordSet,
  sealRecordSet,
} from '../../../../src/delivery/kafka/record-set.ts'
import { toReceived } from './fixtures.ts'

const load = createRequire(import.meta.url)
const encodeOne = load('kafkajs/src/protocol/recordBatch/record/v0')
const { RecordBatch } = load('kafkajs/src/protocol/recordBatch/v0')
const Long = load('kafkajs/src/utils/long')
const nowMs = Date.UTC(2026, 0, 1)

/** The set that kafkajs encodes from the same messages. */
async function toReference(messages: readonly KafkaMessage[], producer: object): Promise<Buffer> {
  const records = messages.map((message, offsetDelta) =>
    encodeOne({ ...toReceived(message), offsetDelta, timestampDelta: 0 }),
  )
  const lastOffsetDelta = records.length - 1
  const times = { firstTimestamp: nowMs, maxTimestamp: nowMs }
  const set = await RecordBatch({ records, lastOffsetDelta, ...times, ...producer })
  return set.buffer
}

const text = fc.oneof(fc.string({ unit: 'grapheme' }), fc.string({ minLength: 60, maxLength: 300 }))
const message = fc
  .record({
    ...{ uuid: text, event: text, key: text, line: text },
    source: fc.constantFrom(...(Object.keys(sourceNumbers) as KafkaMessage['source'][])),
    hasKey: fc.boolean(),
    gzipped: fc.option(
      fc.uint8Array().map((bytes) => Buffer.from(bytes)),
      { nil: undefined },
    ),
  })
  .map(({ uuid, event, key, line, ...rest }): KafkaMessage => {
    const fields = toEncodedRecord({ uuid, event, key, line })
    return { ...rest, fields, bytesMax: fields.bytes.length + (rest.gzipped?.length ?? 0) + 192 }
  })

/** The bytes of the records, which follow the header of 61 bytes. */
const recordsOf = ({ bytes }: RecordSet) => bytes.subarray(61)
const codecOf = ({ bytes }: RecordSet) => bytes.readInt16BE(21)

describe('a record set', () => {
  test('is byte for byte that of kafkajs', async () => {
    const property = fc.asyncProperty(
      fc.array(message, { minLength: 1, maxLength: 70 }),
      async (all) => {
        const set = encodeRecordSet(all, { compression: 'none', nowMs })
        sealRecordSet(set)
        const producer = { producerEpoch: -1, firstSequence: -1 }
        expect(set.bytes.equals(await toReference(all, producer))).toBe(true)
      },
    )
    await fc.assert(property)
  })

  test('carries the number of an idempotent producer', async () => {
    const all = fc.sample(message, 3)
    const set = encodeRecordSet(all, { compression: 'none', nowMs })
    sealRecordSet(set, { id: Buffer.from('0000000100000002', 'hex'), epoch: 7, sequence: 300 })
    const producerId = Long.fromValue('4294967298')
    const reference = await toReference(all, { producerId, producerEpoch: 7, firstSequence: 300 })
    expect(set.bytes.equals(reference)).toBe(true)
  })

  test.each([
    ['gzip', 1, (bytes: Buffer) => Bun.gunzipSync(bytes as Uint8Array<ArrayBuffer>)],
    ['zstd', 4, (bytes: Buffer) => zstdDecompressSync(bytes)],
  ] as const)('is compressed as a whole by %s', (compression, codec, decompress) => {
    const one = fc.sample(message, 1)[0]!
    const all = Array.from({ length: 100 }, () => one)
    const plain = encodeRecordSet(all, { compression: 'none', nowMs })
    const packed = encodeRecordSet(all, { compression, nowMs })
    sealRecordSet(packed)
    expect(codecOf(packed)).toBe(codec)
    expect(packed.bytes.length).toBeLessThan(plain.bytes.length)
    expect(packed.bytes.readInt32BE(8)).toBe(packed.bytes.length - 12)
    expect(packed.bytes.readUInt32BE(17)).toBe(crc32c(packed.bytes.subarray(21)))
    expect(Buffer.from(decompress(recordsOf(packed))).equals(recordsOf(plain))).toBe(true)
  })

  test('that does not shrink is sent uncompressed', () => {
    const noise = Buffer.from(crypto.getRandomValues(new Uint8Array(50_000)))
    const [one] = fc.sample(message, 1)
    const all = [{ ...one!, gzipped: noise, bytesMax: one!.bytesMax + noise.length }]
    for (const compression of ['gzip', 'zstd'] as const) {
      const set = encodeRecordSet(all, { compression, nowMs })
      expect(codecOf(set)).toBe(0)
      const plain = encodeRecordSet(all, { compression: 'none', nowMs })
      for (const one of [set, plain]) sealRecordSet(one)
      expect(set.bytes.equals(plain.bytes)).toBe(true)
    }
  })
})

test('the checksum is CRC-32C, by the native package', () => {
  expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283)
  expect(crc32c).toBe(load('@node-rs/crc32').crc32c)
})
