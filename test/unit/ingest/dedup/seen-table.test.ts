import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { hourMs } from '../../../../src/core/clock.ts'
import type { DedupKey } from '../../../../src/core/event.ts'
import { createTestTable, toDedupKey, toDedupKeys } from '../support.ts'

const pool = toDedupKeys(40)

test('behaves as a map from key to hour, whatever the clock does', () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('see' as const), at: fc.nat(pool.length - 1) }),
    fc.record({ kind: fc.constant('look' as const), at: fc.nat(pool.length - 1) }),
    fc.record({ kind: fc.constant('wait' as const), hours: fc.integer({ min: -3, max: 70 }) }),
    fc.record({ kind: fc.constant('sweep' as const), times: fc.nat(3) }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const { table, clock, has, add } = createTestTable(4096)
      const model = new Map<DedupKey, number>()
      let hour = 0
      let latestHour = 0
      for (const taken of steps) {
        if (taken.kind === 'wait') {
          hour += taken.hours
          latestHour = Math.max(latestHour, hour)
          clock.nowMs += taken.hours * hourMs
        } else if (taken.kind === 'sweep') {
          for (let count = 0; count < taken.times; count += 1) table.sweep()
        } else {
          const dedupKey = pool[taken.at]!
          const isKnown = latestHour - (model.get(dedupKey) ?? Number.NEGATIVE_INFINITY) <= 24
          expect(has(dedupKey)).toBe(isKnown)
          if (taken.kind === 'look' || isKnown) continue
          add(dedupKey)
          model.set(dedupKey, latestHour)
        }
      }
      expect(table.counts.forgotten).toBe(0)
    }),
    { numRuns: 500 },
  )
})

test.each([
  ['24 hours later it is still known', 24, true],
  ['25 hours later it is not', 25, false],
  ['nor when the 5 bits of its hour are used again', 31, false],
  ['nor two rounds later', 62, false],
])('%s', (_, hours, isKnown) => {
  const { clock, has, add } = createTestTable(4096)
  add(toDedupKey(1))
  clock.nowMs += hours * hourMs
  expect(has(toDedupKey(1))).toBe(isKnown)
})

test('a loaded key expires by the hour in which it was seen', () => {
  const { table, clock, has, add } = createTestTable(4096)
  add(toDedupKey('recent'), table.hour - 20)
  add(toDedupKey('old'), table.hour - 25)
  expect([has(toDedupKey('recent')), has(toDedupKey('old'))]).toEqual([true, false])
  clock.nowMs += 5 * hourMs
  expect(has(toDedupKey('recent'))).toBe(false)
})

test('a full table forgets the oldest hour first, and counts what it forgets', () => {
  const { table, clock, has, add } = createTestTable(64 * 1024)
  const older = toDedupKeys(6000)
  const newer = toDedupKeys(6000, 1_000_000)
  for (const dedupKey of older) add(dedupKey)
  clock.nowMs += hourMs
  for (const dedupKey of newer) add(dedupKey)
  const kept = [...older, ...newer].filter(has).length
  expect(table.counts.entries).toBe(kept)
  expect(table.counts.forgotten).toBe(12_000 - kept)
  expect(kept).toBeGreaterThan(0.95 * table.capacity)
  expect(newer.filter(has).length).toBeGreaterThan(0.99 * newer.length)
})

test('a table of 1 MiB holds two thirds of its capacity without forgetting any', () => {
  const { table, add } = createTestTable(1024 * 1024)
  for (const dedupKey of toDedupKeys(Math.floor(table.capacity * 0.66))) add(dedupKey)
  expect(table.counts).toEqual({ entries: Math.floor(table.capacity * 0.66), forgotten: 0 })
})

test('sweeps free expired entries, a few at a time', () => {
  const { table, clock, add } = createTestTable(1024 * 1024)
  for (const dedupKey of toDedupKeys(10_000)) add(dedupKey)
  const sweepPass = () => {
    for (let count = 0; count < 256; count += 1) table.sweep()
  }
  for (let hour = 1; hour <= 24; hour += 1) {
    clock.nowMs += hourMs
    sweepPass()
  }
  expect(table.counts.entries).toBe(10_000)
  clock.nowMs += hourMs
  table.sweep()
  expect(table.counts.entries).toBeLessThan(10_000)
  expect(table.counts.entries).toBeGreaterThan(9_000)
  sweepPass()
  expect(table.counts.entries).toBe(0)
})

test('no new key is taken for a seen one', () => {
  const { has, add } = createTestTable(1024 * 1024)
  for (const dedupKey of toDedupKeys(80_000)) add(dedupKey)
  expect(toDedupKeys(100_000, 1_000_000).filter(has)).toEqual([])
})

test('grows with its entries and keeps them, with their hours', () => {
  const { table, clock, has, add } = createTestTable(16 * 1024 * 1024)
  expect(table.bytes).toBe(512 * 1024)
  const older = toDedupKeys(100_000)
  const newer = toDedupKeys(100_000, 1_000_000)
  for (const dedupKey of older) add(dedupKey)
  expect(table.bytes / older.length).toBeWithin(20, 27)
  clock.nowMs += 20 * hourMs
  for (const dedupKey of newer) add(dedupKey)
  expect(table.bytes / (older.length + newer.length)).toBeWithin(20, 27)
  expect([...older, ...newer].filter((dedupKey) => !has(dedupKey))).toEqual([])
  expect(table.counts).toEqual({ entries: 200_000, forgotten: 0 })
  clock.nowMs += 5 * hourMs
  expect(older.filter(has)).toEqual([])
  expect(newer.filter((dedupKey) => !has(dedupKey))).toEqual([])
})

test('grows to its maximum and no further, whatever that is', () => {
  const dedupKeys = toDedupKeys(160 * 530)
  for (const pages of [1, 127, 300, 511, 520]) {
    const { table, add } = createTestTable(pages * 4096 + 1)
    for (const dedupKey of dedupKeys) add(dedupKey)
    expect(table.bytes).toBe(8 * table.capacity)
    expect(table.bytes).toBeWithin(0.99 * pages * 4096, pages * 4096 + 1)
  }
})

test('the sweep frees all expired entries while the table grows', () => {
  const { table, clock, add } = createTestTable(16 * 1024 * 1024)
  const expired = toDedupKeys(50_000)
  for (const dedupKey of expired) add(dedupKey)
  clock.nowMs += 25 * hourMs
  // Each growth moves entries between two sweeps.
  const recent = toDedupKeys(100_000, 1_000_000)
  recent.forEach((dedupKey, index) => {
    add(dedupKey)
    if (index % 50 === 0) table.sweep()
  })
  for (let count = 0; count < 1000; count += 1) table.sweep()
  expect(table.counts).toEqual({ entries: recent.length, forgotten: 0 })
})
