import { beforeAll, expect, test } from 'bun:test'
import { join } from 'node:path'

const mib = 1024 * 1024

type Measured = Record<'capacity' | 'bytes' | 'createMs' | 'emptyBytes' | 'fullBytes', number> & {
  isKnown: boolean
  counts: object
  slicesMs: number[]
}

let measured: Measured
beforeAll(async () => {
  const child = Bun.spawn([process.execPath, join(import.meta.dir, 'seen-table-process.ts')], {
    stderr: 'inherit',
  })
  measured = JSON.parse(await child.stdout.text())
})

test('a new table of 256 MiB takes neither time nor memory', () => {
  expect(measured.isKnown).toBe(false)
  expect(measured.createMs).toBeLessThan(50)
  expect(measured.emptyBytes).toBeLessThan(4 * mib)
  expect(measured.capacity).toBe(2 ** 25)
})

test('a million keys take 25 MB, and none of them holds the thread for 50 ms', () => {
  expect(measured.counts).toEqual({ entries: 1_000_000, forgotten: 0 })
  expect(measured.bytes).toBeWithin(24_000_000, 26_000_000)
  expect(measured.fullBytes).toBeLessThan(64 * mib)
  // A busy machine may take the CPU away twice. Rehashing would be slow at each of eight doublings.
  expect(measured.slicesMs.toSorted((a, b) => b - a)[2]).toBeLessThan(50)
})
