import { expect, test } from 'bun:test'
import { createSweep } from '../../../src/core/collect-garbage.ts'

const mib = 1024 * 1024

function sweepOf(everyBytes: number) {
  const deferred: (() => void)[] = []
  let collections = 0
  const sweep = createSweep({
    everyBytes,
    collect: () => {
      collections += 1
    },
    defer: (run) => deferred.push(run),
  })
  const endTurn = () => {
    for (const run of deferred.splice(0)) run()
    return collections
  }
  return { sweep, endTurn }
}

test('collects each time large requests have left enough behind', () => {
  const { sweep, endTurn } = sweepOf(64 * mib)
  let gone = 0
  const collections: number[] = []
  for (let request = 0; request < 12; request += 1) {
    sweep.keep(16 * mib, () => {
      gone += 1
    })
    collections.push(endTurn())
  }
  expect(collections).toEqual([0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3])
  expect(gone).toBe(12)
})

test('calls back after the collection, and collects once for all of one turn', () => {
  const { sweep, endTurn } = sweepOf(mib)
  const calls: string[] = []
  sweep.keep(mib, () => calls.push('first'))
  sweep.keep(mib, () => calls.push('second'))
  expect(calls).toEqual([])
  expect(endTurn()).toBe(1)
  expect(calls).toEqual(['first', 'second'])
})

test('in a hurry, collects what is there, and nothing where nothing is', () => {
  const { sweep, endTurn } = sweepOf(64 * mib)
  sweep.hurry()
  expect(endTurn()).toBe(0)
  sweep.keep(1, () => {})
  sweep.hurry()
  expect(endTurn()).toBe(1)
  sweep.hurry()
  expect(endTurn()).toBe(1)
})
