import { expect, test } from 'bun:test'
import { createGarbageCollector } from '../../../src/core/collect-garbage.ts'

const mib = 1024 * 1024

function createTestCollector(everyBytes: number) {
  const deferred: (() => void)[] = []
  let collections = 0
  const collector = createGarbageCollector({
    everyBytes,
    collect: () => {
      collections += 1
    },
    defer: (run) => deferred.push(run),
  })
  const endIteration = () => {
    for (const run of deferred.splice(0)) run()
    return collections
  }
  return { collector, endIteration }
}

test('collects each time enough bytes are unused', () => {
  const { collector, endIteration } = createTestCollector(64 * mib)
  let collected = 0
  const collections: number[] = []
  for (let request = 0; request < 12; request += 1) {
    collector.add(16 * mib, () => {
      collected += 1
    })
    collections.push(endIteration())
  }
  expect(collections).toEqual([0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3])
  expect(collected).toBe(12)
})

test('collects once per iteration, and calls back after it', () => {
  const { collector, endIteration } = createTestCollector(mib)
  const calls: string[] = []
  collector.add(mib, () => calls.push('first'))
  collector.add(mib, () => calls.push('second'))
  expect(calls).toEqual([])
  expect(endIteration()).toBe(1)
  expect(calls).toEqual(['first', 'second'])
})

test('collects fewer bytes on request, and never without any', () => {
  const { collector, endIteration } = createTestCollector(64 * mib)
  collector.collectSoon()
  expect(endIteration()).toBe(0)
  collector.add(1)
  collector.collectSoon()
  expect(endIteration()).toBe(1)
  collector.collectSoon()
  expect(endIteration()).toBe(1)
})
