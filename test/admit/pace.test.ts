import { expect, test } from 'bun:test'
import { createPace } from '../../src/admit/pace.ts'
import { IngestError } from '../../src/core/errors.ts'

function createTestPace() {
  const state = { nowMs: 1000, ends: [] as (() => void)[] }
  const pace = createPace({
    turnMsMax: 25,
    turnRequestsMin: 3,
    now: () => state.nowMs,
    atTurnEnd: (end) => state.ends.push(end),
  })
  /** How many of `count` requests that each take `ms` one turn lets in. */
  function turn(count: number, ms: number): number {
    let taken = 0
    for (let index = 0; index < count; index += 1) {
      try {
        pace.take()
      } catch (error) {
        expect(error).toBeInstanceOf(IngestError)
        expect((error as IngestError).code).toBe('too_busy')
        expect((error as IngestError).details.retryAfterSeconds).toBe(1)
        continue
      }
      taken += 1
      state.nowMs += ms
    }
    for (const end of state.ends.splice(0)) end()
    return taken
  }
  return { pace, turn }
}

test.each([
  ['many small requests that fit the time', 1000, 0.02, 1000],
  ['more than fits the time', 1000, 1, 26],
  ['a few large ones', 3, 400, 3],
  ['many large ones', 10, 400, 3],
])('one turn takes of %s', (_, count, ms, expected) => {
  const { pace, turn } = createTestPace()
  expect(turn(count, ms)).toBe(expected)
  expect(pace.refused()).toBe(count - expected)
})

test('each turn begins afresh, and asks only once to be told of its end', () => {
  const { pace, turn } = createTestPace()
  expect([turn(100, 1), turn(100, 1), turn(3, 400), turn(1, 1)]).toEqual([26, 26, 3, 1])
  expect(pace.refused()).toBe(148)
})
