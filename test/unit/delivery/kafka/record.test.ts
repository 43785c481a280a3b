import { expect, test } from 'bun:test'
import { createRequire } from 'node:module'
import fc from 'fast-check'
import {
  type Encoded,
  type RecordInput,
  toRecordEncoder,
} from '../../../../src/delivery/kafka/record.ts'

/** The module as kafkajs ships it, whether or not it is mended in this process. */
function loadOriginal(): (input: RecordInput) => Encoded {
  const load = createRequire(import.meta.url)
  const path = load.resolve('kafkajs/src/protocol/recordBatch/record/v0/index.js')
  const mended = load.cache[path]
  delete load.cache[path]
  const original = load(path)
  if (mended) load.cache[path] = mended
  return original
}

const original = loadOriginal()

function fail(): never {
  throw new Error('left to the original')
}

const bytes = fc.uint8Array({ maxLength: 400 }).map((array) => Buffer.from(array))
const name = fc.string({ minLength: 1, unit: 'binary-ascii' })

test('encodes records of our shape byte for byte as kafkajs does', () => {
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
])('leaves %s to kafkajs', (_, input) => {
  expect(toRecordEncoder(original)(input).buffer.equals(original(input).buffer)).toBe(true)
  expect(() => toRecordEncoder(fail)(input)).toThrow('left to the original')
})
