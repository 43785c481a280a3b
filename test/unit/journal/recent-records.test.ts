import { expect, test } from 'bun:test'
import type { CommittedBlock } from '../../../src/core/record.ts'
import { createBlock } from '../../../src/journal/block.ts'
import { openReader } from '../../../src/journal/reader.ts'
import { createRecentRecords, createRecordSource } from '../../../src/journal/recent-records.ts'
import { createFakeDisk } from './fake-disk.ts'
import { appendNames, createRecordingLog, dir, openOn, toName, toRecord } from './support.ts'

const all = { bytesMax: 1_000_000, recordsMax: 1000 }
const spacious = { bytesMax: 10_000, blocksMax: 10, endOffset: 0 }

function toBlock(firstOffset: number, ...names: string[]): CommittedBlock {
  const block = createBlock()
  block.add(names.map((name) => toRecord(name)))
  return { firstOffset, count: names.length, bytes: block.copyPayload() }
}

test.each([
  ['from the start', 0, all, ['a', 'b', 'c', 'd', 'e']],
  ['from inside a block', 1, all, ['b', 'c', 'd', 'e']],
  ['up to the limit of records', 1, { ...all, recordsMax: 3 }, ['b', 'c', 'd']],
  ['up to the limit of bytes', 0, { ...all, bytesMax: 2 * '{"name":"a"}\n'.length }, ['a', 'b']],
  ['one record, however small the limit', 2, { ...all, bytesMax: 1 }, ['c']],
  ['nothing at the end', 5, all, []],
  ['nothing beyond the end', 9, all, []],
])('reads %s', (_, fromOffset, limits, names) => {
  const recent = createRecentRecords(spacious)
  recent.push(toBlock(0, 'a', 'b'))
  recent.push(toBlock(2, 'c'))
  recent.push(toBlock(3, 'd', 'e'))
  const records = recent.read(fromOffset, limits)
  expect(records?.map(toName)).toEqual(names)
  expect(records?.map(({ offset }) => offset)).toEqual(names.map((_, index) => fromOffset + index))
})

const blockBytes = toBlock(0, 'a').bytes.length
test.each([
  ['bytes', { bytesMax: 2 * blockBytes, blocksMax: 10, endOffset: 0 }],
  ['blocks', { bytesMax: 10_000, blocksMax: 2, endOffset: 0 }],
])('drops the oldest block beyond the limit of %s, and does not read behind it', (_, options) => {
  const recent = createRecentRecords(options)
  for (const [offset, name] of ['a', 'b', 'c'].entries()) recent.push(toBlock(offset, name))
  expect(recent.read(0, all)).toBeUndefined()
  expect(recent.read(1, all)?.map(toName)).toEqual(['b', 'c'])
  expect(recent.stats).toEqual({ bytes: 2 * blockBytes, blocks: 2, firstOffset: 1 })
})

test('releases the blocks that every sink has, and no other', () => {
  const recent = createRecentRecords(spacious)
  recent.push(toBlock(0, 'a', 'b'))
  recent.push(toBlock(2, 'c'))
  recent.release(1)
  expect(recent.read(0, all)?.map(toName)).toEqual(['a', 'b', 'c'])
  recent.release(2)
  expect(recent.read(1, all)).toBeUndefined()
  expect(recent.read(2, all)?.map(toName)).toEqual(['c'])
  recent.release(3)
  expect(recent.stats).toEqual({ bytes: 0, blocks: 0, firstOffset: undefined })
  expect(recent.read(3, all)).toEqual([])
  recent.push(toBlock(3, 'd'))
  expect(recent.read(3, all)?.map(toName)).toEqual(['d'])
})

test('does not hold a block larger than its limit', () => {
  const recent = createRecentRecords({ bytesMax: 10, blocksMax: 10, endOffset: 0 })
  recent.push(toBlock(0, 'a'))
  expect(recent.read(0, all)).toBeUndefined()
  expect(recent.read(1, all)).toEqual([])
  expect(recent.stats).toEqual({ bytes: 0, blocks: 0, firstOffset: undefined })
})

test('does not read a backlog that was committed before it was created', () => {
  const recent = createRecentRecords({ ...spacious, endOffset: 5 })
  expect(recent.read(3, all)).toBeUndefined()
  expect(recent.read(5, all)).toEqual([])
  recent.push(toBlock(5, 'f'))
  expect(recent.read(4, all)).toBeUndefined()
  expect(recent.read(5, all)?.map(({ offset }) => offset)).toEqual([5])
})

test('never reads the records behind a gap in place of those inside it', () => {
  const recent = createRecentRecords(spacious)
  recent.push(toBlock(0, 'a', 'b'))
  recent.skipTo(4)
  expect(recent.read(1, all)).toBeUndefined()
  recent.push(toBlock(4, 'e', 'f'))
  expect(recent.read(2, all)).toBeUndefined()
  expect(recent.read(4, all)?.map(({ offset }) => offset)).toEqual([4, 5])
  expect(recent.stats).toMatchObject({ blocks: 1, firstOffset: 4 })
})

test('detects a gap that was not announced', () => {
  const recent = createRecentRecords(spacious)
  recent.push(toBlock(0, 'a', 'b'))
  recent.push(toBlock(7, 'h'))
  expect(recent.read(2, all)).toBeUndefined()
  expect(recent.read(7, all)?.map(({ offset }) => offset)).toEqual([7])
})

test('keeps its records when an end is announced that it already knows', () => {
  const recent = createRecentRecords(spacious)
  recent.push(toBlock(0, 'a', 'b'))
  recent.skipTo(1)
  expect(recent.read(0, all)?.map(({ offset }) => offset)).toEqual([0, 1])
})

test('a shipper that fell behind reads the disk and returns to memory without a gap', async () => {
  const disk = createFakeDisk()
  const recent = createRecentRecords({ bytesMax: 3 * blockBytes, blocksMax: 100, endOffset: 0 })
  const journal = await openOn(disk, { onCommitted: (block) => recent.push(block) })
  const reader = await openReader({ dir, log: createRecordingLog(), fileSystem: disk.attach() })
  const source = createRecordSource({ recent, reader })
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
