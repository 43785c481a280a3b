import { readResidentBytes } from '../../../support/resident-bytes.ts'
import { createTestTable, toDedupKey } from '../support.ts'

/**
 * Creates a table of 256 MiB and adds a million keys. Prints times and memory as a line of JSON. A
 * process of its own, because the memory of a test process grows and shrinks by its other tests.
 */
const residentBytes = () => {
  Bun.gc(true)
  return readResidentBytes(process.pid)
}
const beforeBytes = residentBytes()
const startMs = performance.now()
const { table, has } = createTestTable(256 * 1024 * 1024)
const isKnown = has(toDedupKey(1))
const createMs = performance.now() - startMs
const emptyBytes = residentBytes() - beforeBytes

const words = { a: 0, b: 0, c: 0 }
const bits = new Int32Array(3)
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
const fullBytes = residentBytes() - beforeBytes
const { capacity, counts, bytes } = table
console.log(
  JSON.stringify({ capacity, counts, bytes, isKnown, createMs, slicesMs, emptyBytes, fullBytes }),
)
