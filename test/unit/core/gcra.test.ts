import { expect, test } from 'bun:test'
import { toEarlyMs, toUsedUntilMs } from '../../../src/core/gcra.ts'

test.each([
  ['a new key is used up for the cost', 0, 1000, 100, 1100],
  ['an idle key starts from now', 900, 1000, 100, 1100],
  ['a busy key adds to what it has taken', 1200, 1000, 100, 1300],
])('%s', (_, usedUntilMs, nowMs, costMs, expectedMs) => {
  expect(toUsedUntilMs(usedUntilMs, nowMs, costMs)).toBe(expectedMs)
})

test.each([
  ['within the burst', 1400, 0],
  ['exactly the burst', 1500, 0],
  ['above the burst by rounding only', 1500 + 1e-7, 0],
  ['above the burst', 1600, 100],
])('a take %s is early by the excess', (_, usedUntilMs, earlyMs) => {
  expect(toEarlyMs(usedUntilMs, 1000, 500)).toBe(earlyMs)
})
