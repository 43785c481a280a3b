import { expect, test } from 'bun:test'
import {
  toAgo,
  toBytes,
  toCount,
  toDuration,
  toRate,
  toShortCount,
  toTime,
} from '../../../../src/console/page/format.ts'

test.each([
  [toCount(1_234_567), '1,234,567'],
  [toCount(null), '–'],
  [toShortCount(9999), '9,999'],
  [toShortCount(12_345), '12.3 k'],
  [toShortCount(1_250_000), '1.3 M'],
  [toRate(0.24), '0.2'],
  [toRate(1234.5), '1,235'],
  [toBytes(0), '0 B'],
  [toBytes(1536), '1.5 KiB'],
  [toBytes(10 * 2 ** 30), '10 GiB'],
  [toBytes(5000 * 2 ** 40), '5,000 TiB'],
  [toDuration(0), '0 ms'],
  [toDuration(0.25), '0.25 ms'],
  [toDuration(6.54), '6.5 ms'],
  [toDuration(1500), '1.5 s'],
  [toDuration(119_000), '1 min'],
  [toDuration(7_200_000), '2 h'],
  [toDuration(null), '–'],
  [toAgo(1000, 1500), 'now'],
  [toAgo(1000, 61_500), '1 min ago'],
  [toAgo(2000, 1000), 'now'],
])('%s', (text, expected) => {
  expect(text).toBe(expected)
})

test('a time has milliseconds where they matter', () => {
  const atMs = new Date(2026, 10, 29, 3, 4, 5, 6).getTime()
  expect(toTime(atMs)).toBe('03:04:05.006')
  expect(toTime(atMs, false)).toBe('03:04:05')
})
