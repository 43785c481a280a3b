import { describe, expect, test } from 'bun:test'
import { createBucket } from '../../../../src/platform/realtime/bucket.ts'

describe('a bucket', () => {
  test('allows a burst, then the rate, and never more than the burst at once', () => {
    const take = createBucket({ perSecond: 10, burst: 3 })
    const taken = (nowMs: number) => [1, 2, 3, 4].filter(() => take(nowMs)).length
    expect(taken(1000)).toBe(3)
    expect(taken(1050)).toBe(0)
    expect(taken(1100)).toBe(1)
    expect(taken(60_000)).toBe(3)
  })

  test('continues at the rate after the clock goes back', () => {
    const take = createBucket({ perSecond: 10, burst: 1 })
    expect(take(10_000)).toBe(true)
    expect(take(5000)).toBe(false)
    expect(take(5100)).toBe(true)
  })
})
