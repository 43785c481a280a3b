import { expect, test } from 'bun:test'
import { readResidentBytes } from '../../../support/resident-bytes.ts'
import { createTestTable, toDedupKey } from '../support.ts'

const mib = 1024 * 1024

test('a new table of 256 MiB takes neither time nor memory', () => {
  const residentBytes = readResidentBytes(process.pid)
  const start = performance.now()
  const { table, has } = createTestTable(256 * mib)
  expect(has(toDedupKey(1))).toBe(false)
  expect(performance.now() - start).toBeLessThan(50)
  expect(readResidentBytes(process.pid) - residentBytes).toBeLessThan(4 * mib)
  expect(table.capacity).toBe(2 ** 25)
})

test('a million keys take 25 MB, and none of them holds the thread for 50 ms', () => {
  const { table } = createTestTable(256 * mib)
  const words = { a: 0, b: 0, c: 0 }
  const bits = new Int32Array(3)
  const residentBytes = readResidentBytes(process.pid)
  const slicesMs: number[] = []
  for (let slice = 0; slice < 1000; slice += 1) {
    const start = performance.now()
    for (let count = 0; count < 1000; count += 1) {
      crypto.getRandomValues(bits)
      ;[words.a, words.b, words.c] = bits as unknown as [number, number, number]
      table.add(words)
    }
    slicesMs.push(performance.now() - start)
  }
  expect(table.counts).toEqual({ entries: 1_000_000, forgotten: 0 })
  expect(table.bytes).toBeWithin(24_000_000, 26_000_000)
  expect(readResidentBytes(process.pid) - residentBytes).toBeLessThan(64 * mib)
  // A busy machine may take the CPU away twice. Rehashing would be slow at each of eight doublings.
  expect(slicesMs.sort((a, b) => b - a)[2]).toBeLessThan(50)
})
