import { expect, test } from 'bun:test'
import { createLagClock } from '../../../src/delivery/lag.ts'

function createTest(endOffset = 0) {
  let nowMs = 1_000_000
  const clock = createLagClock({ endOffset, now: () => nowMs })
  return {
    clock,
    pass(ms: number) {
      nowMs += ms
    },
  }
}

test('is the age of the oldest record that is not taken', () => {
  const { clock, pass } = createTest()
  pass(60_000)
  clock.committed(10)
  pass(5_000)
  clock.committed(20)
  pass(2_000)
  expect([clock.lagMs(0), clock.lagMs(10), clock.lagMs(15), clock.lagMs(20)]).toEqual([
    7_000, 2_000, 2_000, 0,
  ])
})

test('stays small under a steady flow, although the end is never reached', () => {
  const { clock, pass } = createTest()
  for (let offset = 1; offset <= 1000; offset += 1) {
    pass(100)
    clock.committed(offset)
    expect(clock.lagMs(offset - 1)).toBeLessThanOrEqual(1100)
  }
})

test('counts what the start found from the start on', () => {
  const { clock, pass } = createTest(50)
  pass(3_000)
  expect([clock.lagMs(49), clock.lagMs(50)]).toEqual([3_000, 0])
})

test('is bounded, and never too small when marks are left out', () => {
  const { clock, pass } = createTest()
  for (let offset = 1; offset <= 10_000; offset += 1) {
    pass(1_000)
    clock.committed(offset)
  }
  expect(clock.lagMs(0)).toBeGreaterThan(9_000_000)
  const lagMs = clock.lagMs(9_900)
  expect(lagMs).toBeGreaterThanOrEqual(99_000)
  expect(lagMs).toBeLessThan(120_000)
})

test('is neither too small nor zero for any record when marks are left out', () => {
  const { clock, pass } = createTest()
  const committedMs: number[] = []
  for (let offset = 0; offset < 5000; offset += 1) {
    pass(1_000)
    clock.committed(offset + 1)
    committedMs.push(offset * 1_000)
    const waitedMs = (at: number) => committedMs.at(-1)! - committedMs[at]!
    expect(clock.lagMs(offset)).toBeGreaterThanOrEqual(waitedMs(offset))
    expect(clock.lagMs(offset >> 1)).toBeGreaterThanOrEqual(waitedMs(offset >> 1))
    expect(clock.lagMs(offset)).toBeLessThanOrEqual(3_000)
  }
  const isTooSmall = committedMs.some((ms, at) => clock.lagMs(at) < committedMs.at(-1)! - ms)
  expect(isTooSmall).toBe(false)
})

test('counts the newest record at the moment at which marks are left out', () => {
  const { clock, pass } = createTest()
  for (let offset = 1; offset <= 3000; offset += 1) {
    pass(1_000)
    clock.committed(offset)
    pass(500)
    expect(clock.lagMs(offset - 1)).toBeGreaterThanOrEqual(500)
    pass(500)
  }
})
