import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import type { Kind, Route } from '../../../../src/core/event.ts'
import { isValueLarger, toMessage, toTopic } from '../../../../src/delivery/kafka/message.ts'
import { encodeRecordSet } from '../../../../src/delivery/kafka/record-set.ts'
import { toTopics } from '../../../../src/delivery/kafka/settings.ts'
import { makeRecord, makeSettings, toReceived } from './fixtures.ts'

const topics = toTopics(makeSettings([], 't'))

test.each<[Kind, Route, string]>([
  ['event', 'main', 't_events'],
  ['event', 'overflow', 't_overflow'],
  ['event', 'historical', 't_historical'],
  ['recording', 'main', 't_recordings'],
  ['recording', 'historical', 't_recordings'],
  ['link', 'main', 't_links'],
  ['dead_letter', 'main', 't_dead'],
])('sends a record of kind %s and route %s to %s', (kind, route, topic) => {
  expect(toTopic(topics, makeRecord({ kind, route }))).toBe(topic)
})

/** Properties whose JSON has exactly this many bytes. */
const propertiesOf = (bytes: number) => ({ a: 'x'.repeat(bytes - '{"a":""}'.length) })

describe('a message', () => {
  test('has the key, the headers, and the line without its newline as its value', () => {
    const record = makeRecord({ uuid: 'u-1', event: 'Überraschung', user: 'käthe' })
    const { key, value, headers } = toReceived(toMessage(record, 1024))
    expect(key?.toString()).toBe('p1:käthe')
    expect(headers).toEqual({ uuid: 'u-1', event: 'Überraschung', source: 'capture' })
    expect(`${value}\n`).toBe(Buffer.from(record.line).toString())
  })

  test('has no key on the overflow topic', () => {
    expect(toMessage(makeRecord({ route: 'overflow' }), 1024).hasKey).toBe(false)
  })

  test.each([
    ['uncompressed at the bound', 1024, 1024, undefined],
    ['gzipped above it', 1025, 1024, 'gzip'],
    ['uncompressed when compression is off', 5000, 0, undefined],
  ])('is sent %s', (_, bytes, aboveBytes, encoding) => {
    const record = makeRecord({ properties: propertiesOf(bytes) })
    const { value, headers } = toReceived(toMessage(record, aboveBytes))
    expect(headers['content-encoding']).toBe(encoding as never)
    const line = encoding ? Bun.gunzipSync(value as Uint8Array<ArrayBuffer>) : value
    expect(Buffer.from(line)).toEqual(Buffer.from(record.line).subarray(0, -1))
  })

  test.each<[Kind, string | undefined]>([
    ['recording', 'gzip'],
    ['link', undefined],
    ['dead_letter', undefined],
  ])('of kind %s with a large line has the encoding %p', (kind, encoding) => {
    const line = JSON.stringify({ uuid: '1', snapshot_items: ['x'.repeat(2000)] })
    const { headers } = toReceived(toMessage(makeRecord({ kind, line }), 1024))
    expect(headers['content-encoding']).toBe(encoding as never)
  })

  test('is never larger in a record set than its upper bound', () => {
    for (const event of ['e', '€'.repeat(200)]) {
      for (const properties of [{}, propertiesOf(2000)]) {
        const message = toMessage(makeRecord({ event, properties }), 1024)
        const { bytes } = encodeRecordSet([message], { compression: 'none', nowMs: 0 })
        expect(bytes.length).toBeLessThanOrEqual(message.bytesMax)
      }
    }
  })
})

const awkward = fc.oneof(
  fc.string({ unit: 'grapheme' }),
  fc.constantFrom('","properties":{"', '\\', '\\"', '}', ']}', '","user":{'),
)

test('measures a field exactly, whatever its content and its neighbours are', () => {
  const value = fc.oneof(fc.object({ key: awkward, values: [awkward, fc.integer()] }), awkward)
  fc.assert(
    fc.property(awkward, value, fc.object(), (before, properties, after) => {
      const line = Buffer.from(JSON.stringify({ uuid: before, properties, user: after }))
      const size = Buffer.byteLength(JSON.stringify(properties))
      expect(isValueLarger(line, 'properties', size)).toBe(false)
      expect(isValueLarger(line, 'properties', size - 1)).toBe(true)
    }),
    { numRuns: 1000 },
  )
})

test('a missing field is not larger than any bound', () => {
  expect(isValueLarger(Buffer.from('{"uuid":"1","other":[1,2,3,4]}'), 'properties', 1)).toBe(false)
})
