import { expect, test } from 'bun:test'
import { createBlock } from '../../../src/journal/block.ts'
import { createScanner } from '../../../src/journal/scanner.ts'
import { segmentHeaderBytes } from '../../../src/journal/segment-header.ts'
import { createFakeDisk } from './fake-disk.ts'
import { toRecord } from './support.ts'

const origin = { segment: 1, seed: 7 }
const readBytes = 64 * 1024

/** A segment whose frame with sequence 5 lies behind `garbageBytes` bytes of garbage. */
async function openBehind(garbageBytes: number) {
  const block = createBlock()
  block.add([toRecord('a')])
  const frame = block.seal(origin, { sequence: 5, firstOffset: 40 })
  const disk = createFakeDisk()
  disk.put(
    '/segment',
    Buffer.concat([Buffer.alloc(segmentHeaderBytes + garbageBytes, 0xaa), frame]),
  )
  const file = await disk.attach().open('/segment', 'read')
  return createScanner({ file, origin, lastSequence: 1 })
}

test.each([-5, -4, -3, -2, -1, 0, 1])(
  'finds a valid frame %d bytes from the end of a read buffer',
  async (shift) => {
    const scanner = await openBehind(readBytes + shift)
    expect(await scanner.peek()).toBeUndefined()
    expect(await scanner.resync(9)).toBe(true)
    expect(scanner.position).toBe(segmentHeaderBytes + readBytes + shift)
    expect(await scanner.peek()).toMatchObject({ sequence: 5, firstOffset: 40, count: 1 })
  },
)

test.each([
  ['behind the last committed one', 4],
  ['before the current position', 0],
])('ignores a valid frame %s', async (_, sequenceMax) => {
  const scanner = await openBehind(10)
  expect(await scanner.resync(sequenceMax)).toBe(false)
  expect(scanner.position).toBe(segmentHeaderBytes)
})

test('ignores a frame of another segment or journal', async () => {
  const block = createBlock()
  block.add([toRecord('a')])
  const frames = [
    { segment: 2, seed: 7 },
    { segment: 1, seed: 8 },
  ].map((other) => Buffer.from(block.seal(other, { sequence: 1, firstOffset: 0 })))
  const disk = createFakeDisk()
  disk.put('/segment', Buffer.concat([Buffer.alloc(segmentHeaderBytes), ...frames]))
  const file = await disk.attach().open('/segment', 'read')
  const scanner = createScanner({ file, origin, lastSequence: 0 })
  expect(await scanner.peek()).toBeUndefined()
  expect(await scanner.resync(9)).toBe(false)
})
