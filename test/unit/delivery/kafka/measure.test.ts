import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { isValueLarger } from '../../../../src/delivery/kafka/measure.ts'

const awkward = fc.oneof(
  fc.string({ unit: 'grapheme' }),
  fc.constantFrom('","properties":{"', '\\', '\\"', '}', ']}', '","user":{'),
)

test('measures a field exactly, whatever stands in and around it', () => {
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

test('a field that is not there is not larger than anything', () => {
  expect(isValueLarger(Buffer.from('{"uuid":"1","other":[1,2,3,4]}'), 'properties', 1)).toBe(false)
})
