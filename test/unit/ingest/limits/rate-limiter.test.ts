import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { createLimiter, type RateDecision } from '../../../../src/ingest/limits/rate-limiter.ts'
import { createTestClock } from '../support.ts'

const atOnce = (decision: RateDecision | Promise<RateDecision>): RateDecision => {
  if (decision instanceof Promise) throw new Error('the limiter asked Redis')
  return decision
}

function create(perSecond: number, burst: number) {
  const clock = createTestClock()
  const limiter = createLimiter({ perSecond, burst, now: clock.now })
  const takeMany = (key: string, times: number) =>
    Array.from({ length: times }, () => atOnce(limiter.take(key)).allowed).filter(Boolean).length
  return { clock, limiter, takeMany }
}

test('allows a key its burst, and then the rate', () => {
  const { clock, takeMany } = create(10, 5)
  expect(takeMany('a', 20)).toBe(5)
  clock.nowMs += 100
  expect(takeMany('a', 20)).toBe(1)
  clock.nowMs += 60_000
  expect(takeMany('a', 20)).toBe(5)
})

test.each([
  ['a rate per minute', 1000 / 60, 1000],
  ['a rate whose interval a double cannot hold in milliseconds since 1970', 7000, 20_000],
])('%s allows its whole burst', (_, perSecond, burst) => {
  expect(create(perSecond, burst).takeMany('a', burst + 10)).toBe(burst)
})

test('counts keys separately', () => {
  const { takeMany } = create(1, 3)
  expect([takeMany('a', 9), takeMany('b', 9)]).toEqual([3, 3])
})

test('a refusal states in whole seconds when to retry, and a retry then succeeds', () => {
  const { clock, limiter, takeMany } = create(0.2, 1)
  takeMany('a', 1)
  clock.nowMs += 700
  const { allowed, retryAfterSeconds } = atOnce(limiter.take('a'))
  expect([allowed, retryAfterSeconds]).toEqual([false, 5])
  clock.nowMs += retryAfterSeconds * 1000
  expect(takeMany('a', 1)).toBe(1)
})

test('0 turns the limit off', () => {
  expect(create(0, 0).takeMany('a', 1000)).toBe(1000)
})

test('a project’s own rate replaces the limiter’s', () => {
  const { limiter } = create(1, 1)
  const rate = { perSecond: 1, burst: 3 }
  const taken = Array.from({ length: 5 }, () => atOnce(limiter.take('a', { rate })).allowed)
  expect(taken).toEqual([true, true, true, false, false])
})

test('takes a cost completely or not at all', () => {
  const { limiter } = create(1, 5)
  const costs = [3, 3, 2].map((cost) => atOnce(limiter.take('a', { cost })).allowed)
  expect(costs).toEqual([true, false, true])
})

test('never allows a key more than the burst plus the rate over the elapsed time', () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ waitMs: fc.nat(300), times: fc.nat(30) }), { maxLength: 40 }),
      fc.integer({ min: 1, max: 200 }),
      fc.integer({ min: 1, max: 50 }),
      (steps, perSecond, burst) => {
        const { clock, takeMany } = create(perSecond, burst)
        const startMs = clock.nowMs
        let taken = 0
        for (const { waitMs, times } of steps) {
          clock.nowMs += waitMs
          taken += takeMany('a', times)
          const bound = burst + ((clock.nowMs - startMs) * perSecond) / 1000
          expect(taken).toBeLessThanOrEqual(bound + 1e-6)
        }
      },
    ),
  )
})

test.each([
  ['counts what others took', 1500, { allowed: false, retryAfterSeconds: 2 }],
  ['allows what is left', 0, { allowed: true, retryAfterSeconds: 0 }],
])('with other nodes, %s', async (_, earlyMs, decision) => {
  const shared = { isAvailable: () => true, take: async () => earlyMs }
  const { now } = createTestClock()
  const limiter = createLimiter({ perSecond: 1, burst: 1, now, shared })
  expect(await limiter.take('a')).toEqual(decision)
})

test('does not ask Redis about what this node refuses, and counts alone without Redis', () => {
  let asked = 0
  const shared = { isAvailable: () => asked === 0, take: async () => asked++ }
  const limiter = createLimiter({ perSecond: 1, burst: 1, now: createTestClock().now, shared })
  expect(limiter.take('a')).toBeInstanceOf(Promise)
  expect(atOnce(limiter.take('a')).allowed).toBe(false)
  expect(atOnce(limiter.take('b')).allowed).toBe(true)
  expect(asked).toBe(1)
})
