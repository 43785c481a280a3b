import { expect, test } from 'bun:test'
import { toText } from '../../../../src/ingest/decode/payload.ts'

const bytes = (...values: number[]) => new Uint8Array(values)

test.each([
  ['plain text', bytes(0x7b, 0x7f, 0x7d), '{\x7f}'],
  ['nothing', bytes(), ''],
  ['two bytes for a letter', bytes(0x61, 0xc3, 0xa9), 'aé'],
  ['a byte order mark, which is removed', bytes(0xef, 0xbb, 0xbf, 0x7b), '{'],
  ['an invalid byte, which is replaced', bytes(0x61, 0xff, 0x62), 'a\ufffdb'],
  ['a view into a larger buffer', bytes(0x61, 0x62, 0x63, 0x64).subarray(1, 3), 'bc'],
])('reads %s', (_, payload, expected) => {
  expect(toText(payload)).toBe(expected)
})
