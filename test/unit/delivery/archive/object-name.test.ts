import { expect, test } from 'bun:test'
import {
  parseObjectName,
  toDay,
  toObjectName,
} from '../../../../src/delivery/archive/object-name.ts'

const held = {
  fromMs: Date.parse('2026-11-29T18:07:12.123Z'),
  toMs: Date.parse('2026-11-29T18:08:12.001Z'),
  journalId: '01234567-89ab-4cde-8f01-23456789abcd',
  firstOffset: 1200,
  lastOffset: 1999,
}
const name = toObjectName(held, '0123456789abcdef')

test('a name says what an object holds', () => {
  expect(name).toBe(
    '2026-11-29/20261129T180712123Z_20261129T180812001Z_01234567-89ab-4cde-8f01-23456789abcd_1200-1999_0123456789abcdef.segment.zst',
  )
  expect(parseObjectName(name)).toEqual({ ...held, name, day: '2026-11-29' })
})

test.each(['', '2026-11-29/.draft-0123', `${name}.tmp`, `x/${name}`, 'forgotten/1.json'])(
  '%j is no object of the archive',
  (other) => expect(parseObjectName(other)).toBeUndefined(),
)

test.each([
  ['2026-11-29T23:59:59.999Z', '2026-11-29'],
  ['2026-11-30T00:00:00.000Z', '2026-11-30'],
])('%s belongs to %s', (time, day) => expect(toDay(Date.parse(time))).toBe(day))
