import { expect, test } from 'bun:test'
import type { DedupKey } from '../../../../src/core/event.ts'
import { createDedupTable, readDedupKey } from '../../../../src/ingest/dedup/seen-table.ts'
import { readResidentBytes } from '../../../support/resident-bytes.ts'
import { createTestClock, toDedupKey } from '../support.ts'

function createTable(bytesMax: number) {
  const clock = createTestClock()
  const table = createDedupTable({ bytesMax, now: clock.now })
  const words = { a: 0, b: 0, c: 0 }
  const withWords = <T>(dedupKey: DedupKey, use: (w: typeof words) => T): T => {
    readDedupKey(dedupKey, words)
    table.keepTime()
    return use(words)
  }
  return {
    table,
    clock,
    has: (dedupKey: DedupKey) => withWords(dedupKey, (w) => table.has(w)),
    add: (dedupKey: DedupKey, hour?: number) => withWords(dedupKey, (w) => table.add(w, hour)),
  }
}

test('a new table of 256 MiB takes neither time nor memory', () => {
  const before = process.memoryUsage.rss()
  const start = performance.now()
  const { table, has } = createTable(256 * 1024 * 1024)
  expect(has(toDedupKey(1))).toBe(false)
  expect(performance.now() - start).toBeLessThan(200)
  expect(process.memoryUsage.rss() - before).toBeLessThan(64 * 1024 * 1024)
  expect(table.capacity).toBe(2 ** 25)
})

test('reserves memory page by page', () => {
  const { table } = createTable(32 * 1024 * 1024)
  const residentBytes = readResidentBytes(process.pid)
  const slices = Array.from({ length: 128 }, () => table.reserve(64))
  expect(slices.indexOf(false)).toBe(127)
  expect(readResidentBytes(process.pid) - residentBytes).toBeGreaterThan(20 * 1024 * 1024)
})
