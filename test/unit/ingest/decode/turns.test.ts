import { expect, test } from 'bun:test'
import { createTurns } from '../../../../src/ingest/decode/turns.ts'

test('runs no more than it may at once, in order, whatever fails', async () => {
  const takeTurn = createTurns({ max: 2, waitingMax: 4 })
  const gates = Array.from({ length: 6 }, () => Promise.withResolvers<number>())
  const started: number[] = []
  const outcomes = gates.map(({ promise }, index) =>
    takeTurn(() => {
      started.push(index)
      return promise
    }).catch(() => -1),
  )
  await Promise.resolve()
  expect(started).toEqual([0, 1])
  await expect(takeTurn(async () => 7)).rejects.toMatchObject({ code: 'too_busy' })
  gates[1]!.reject(new Error('no'))
  expect(await outcomes[1]).toBe(-1)
  await Promise.resolve()
  expect(started).toEqual([0, 1, 2])
  for (const [index, { resolve }] of gates.entries()) resolve(index)
  expect(await Promise.all(outcomes)).toEqual([0, -1, 2, 3, 4, 5])
  expect(started).toEqual([0, 1, 2, 3, 4, 5])
})
