import { expect, test } from 'bun:test'
import { createSweep } from '../../src/admit/sweep.ts'

const mib = 1024 * 1024

function sweepOf(everyBytes: number) {
  let collections = 0
  const left = createSweep({
    everyBytes,
    collect: () => {
      collections += 1
    },
  })
  return { left, collections: () => collections }
}

test('collects each time large requests have left enough behind', () => {
  const { left, collections } = sweepOf(64 * mib)
  for (let request = 0; request < 12; request += 1) left(16 * mib)
  expect(collections()).toBe(3)
})

test('small requests never make it collect', () => {
  const { left, collections } = sweepOf(mib)
  for (let request = 0; request < 10_000; request += 1) left(64 * 1024)
  expect(collections()).toBe(0)
})
