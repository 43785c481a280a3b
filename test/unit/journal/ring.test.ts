import { expect, test } from 'bun:test'
import type { CommittedBlock } from '../../../src/core/record.ts'
import { createBlock } from '../../../src/journal/block.ts'
import { openReader } from '../../../src/journal/reader.ts'
import { createRing } from '../../../src/journal/ring.ts'
import { createSource } from '../../../src/journal/source.ts'
import { createFakeDisk } from './fake-disk.ts'
import { appendNames, createRecordingLog, dir, openOn, toName, toRecord } from './support.ts'

const all = { bytesMax: 1_000_000, recordsMax: 1000 }

function toBlock(firstOffset: number, ...names: string[]): CommittedBlock {
  const block = createBlock()
  block.add(names.map((name) => toRecord(name)))
  return { firstOffset, count: names.length, bytes: block.copyPayload() }
}

test.each([
  ['from the start', 0, all, ['a', 'b', 'c', 'd', 'e']],
  ['from inside a block', 1, all, ['b', 'c', 'd', 'e']],
  ['at most so many records', 1, { ...all, recordsMax: 3 }, ['b', 'c', 'd']],
  ['at most so many bytes', 0, { ...all, bytesMax: 2 * '{"name":"a"}\n'.length }, ['a', 'b']],
  ['one record, however small the limit', 2, { ...all, bytesMax: 1 }, ['c']],
  ['nothing at the end', 5, all, []],
  ['nothing beyond the end', 9, all, []],
])('a ring gives %s', (_, fromOffset, limits, names) => {
  const ring = createRing({ bytesMax: 10_000, blocksMax: 10 })
  ring.push(toBlock(0, 'a', 'b'))
  ring.push(toBlock(2, 'c'))
  ring.push(toBlock(3, 'd', 'e'))
  const records = ring.read(fromOffset, limits)
  expect(records?.map(toName)).toEqual(names)
  expect(records?.map(({ offset }) => offset)).toEqual(names.map((_, index) => fromOffset + index))
})

const blockBytes = toBlock(0, 'a').bytes.length
test.each([
  ['bytes', { bytesMax: 2 * blockBytes, blocksMax: 10 }],
  ['blocks', { bytesMax: 10_000, blocksMax: 2 }],
])('a ring that is full of %s forgets its oldest block, and says who is behind', (_, limits) => {
  const ring = createRing(limits)
  for (const [offset, name] of ['a', 'b', 'c'].entries()) ring.push(toBlock(offset, name))
  expect(ring.read(0, all)).toBeUndefined()
  expect(ring.read(1, all)?.map(toName)).toEqual(['b', 'c'])
  expect(ring.stats).toEqual({ bytes: 2 * blockBytes, blocks: 2, firstOffset: 1 })
})

test('a block larger than the ring is left to the journal', () => {
  const ring = createRing({ bytesMax: 10, blocksMax: 10 })
  ring.push(toBlock(0, 'a'))
  expect(ring.read(0, all)).toBeUndefined()
  expect(ring.read(1, all)).toEqual([])
  expect(ring.stats).toEqual({ bytes: 0, blocks: 0, firstOffset: undefined })
})

test('a ring made on a journal with a backlog knows that it is behind', () => {
  const ring = createRing({ bytesMax: 10_000, blocksMax: 10, endOffset: 7 })
  expect({ behind: ring.read(3, all), even: ring.read(7, all) }).toEqual({
    behind: undefined,
    even: [],
  })
})

test('a gap between blocks is passed', () => {
  const ring = createRing({ bytesMax: 10_000, blocksMax: 10 })
  ring.push(toBlock(0, 'a'))
  ring.push(toBlock(5, 'b'))
  expect(ring.read(1, all)?.map(({ offset }) => offset)).toEqual([5])
})

test('a shipper that fell behind reads the journal and is back in the ring without a gap', async () => {
  const disk = createFakeDisk()
  const ring = createRing({ bytesMax: 3 * blockBytes, blocksMax: 100 })
  const journal = await openOn(disk, { onCommitted: (block) => ring.push(block) })
  const reader = await openReader({ dir, log: createRecordingLog(), fileSystem: disk.attach() })
  const source = createSource({ ring, reader })
  const names = Array.from({ length: 40 }, (_, index) => `r${index}`)
  for (const name of names) await appendNames(journal, name)
  const seen: string[] = []
  let reads = 0
  const { fault } = disk
  disk.fault = (call, path) => {
    if (call === 'read') reads += 1
    return fault(call, path)
  }
  while (seen.length < names.length) {
    const records = await source.read(seen.length, { ...all, recordsMax: 7 })
    expect(records.length).toBeGreaterThan(0)
    seen.push(...records.map(toName))
  }
  expect(seen).toEqual(names)
  expect(reads).toBeGreaterThan(0)
  reads = 0
  await appendNames(journal, 'newest')
  expect((await source.read(seen.length, all)).map(toName)).toEqual(['newest'])
  expect({ reads, end: source.endOffset }).toEqual({ reads: 0, end: 41 })
})
