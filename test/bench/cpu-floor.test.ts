import { expect, test } from 'bun:test'
import { measureFloor, toFloorText } from '../../bench/cpu-floor.ts'

test('measures floor and whole of the same bodies, and their ratio', () => {
  const floor = measureFloor({ bodies: 400, rounds: 1 })
  expect(floor.floorUs).toBeGreaterThan(0)
  expect(floor.wholeUs).toBeGreaterThan(0)
  expect(floor.ratio).toBe(floor.wholeUs / floor.floorUs)
  expect(toFloorText({ floorUs: 2, wholeUs: 3, ratio: 1.5 })).toEndWith(
    'floor 2.00, whole 3.00, ratio 1.50',
  )
}, 30_000)
