import { expect, test } from 'bun:test'
import { addPoints } from '../../../../src/console/page/points.ts'

const toPoints = (...times: number[]) => times.map((at_ms) => ({ at_ms }))

test('adds new points, and takes the newer ones where both have them', () => {
  expect(addPoints(toPoints(5, 10, 15), toPoints(10, 15, 20))).toEqual(toPoints(5, 10, 15, 20))
  expect(addPoints(toPoints(5, 10), [])).toEqual(toPoints(5, 10))
  expect(addPoints([], toPoints(5, 10))).toEqual(toPoints(5, 10))
})

test('keeps the last hour', () => {
  const hourMs = 3_600_000
  expect(addPoints(toPoints(0, 5000), toPoints(hourMs + 1))).toEqual(toPoints(5000, hourMs + 1))
})
