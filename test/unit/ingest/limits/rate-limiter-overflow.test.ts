import { expect, test } from 'bun:test'
import { createOverflow } from '../../../../src/ingest/limits/rate-limiter.ts'

test('sends the events of a hot key above its rate to overflow, and no others', () => {
  const overflow = createOverflow({ perSecond: 10, burst: 5 })
  const count = (key: string, nowMs: number) =>
    Array.from({ length: 20 }, () => overflow.isOver(key, nowMs)).filter(Boolean).length
  expect([count('hot', 1e12), count('cold', 1e12)]).toEqual([15, 15])
  expect(count('hot', 1e12 + 200)).toBe(18)
})

test('overflow of 0 per second is off', () => {
  const overflow = createOverflow({ perSecond: 0, burst: 0 })
  expect(Array.from({ length: 50 }, () => overflow.isOver('a', 1)).some(Boolean)).toBe(false)
})
