import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { silentLog } from '../../../src/core/log.ts'
import { openReader } from '../../../src/journal/reader.ts'
import { toSegmentName } from '../../../src/journal/segments.ts'
import { until } from '../../support/until.ts'
import { createFakeDisk, type FakeDisk, toError } from './fake-disk.ts'
import {
  appendNames,
  createRecordingLog,
  dir,
  namesIn,
  openOn,
  toName,
  toRecord,
} from './support.ts'

const all = { bytesMax: 1_000_000, recordsMax: 1000 }
/** Two records of it fill a segment. */
const halfSegment = 'x'.repeat(1300)

function openReaderOn(disk: FakeDisk, log = silentLog) {
  return openReader({ dir, log, fileSystem: disk.attach() })
}

async function openFilled(disk: FakeDisk, records: number) {
  const journal = await openOn(disk)
  for (let index = 0; index < records; index += 1)
    await journal.append([toRecord(`r${index}`, halfSegment)])
  return journal
}

test('reads only records below the given end', async () => {
  const disk = createFakeDisk()
  const journal = await openOn(disk)
  for (const name of ['a', 'b', 'c']) await appendNames(journal, name)
  const reader = await openReaderOn(disk)
  const read = async (from: number, endOffset: number) =>
    (await reader.read(from, { ...all, endOffset })).map(toName)
  expect(await read(0, 0)).toEqual([])
  expect(await read(0, 1)).toEqual(['a'])
  expect(await read(1, 3)).toEqual(['b', 'c'])
  expect(await read(3, 3)).toEqual([])
})

test('continues while the journal grows and segments are created and removed', async () => {
  const disk = createFakeDisk()
  const journal = await openOn(disk)
  const reader = await openReaderOn(disk)
  const seen: string[] = []
  for (let index = 0; index < 30; index += 1) {
    await journal.append([toRecord(`r${index}`, halfSegment)])
    const page = await reader.read(seen.length, { ...all, endOffset: journal.endOffset })
    seen.push(...page.map(toName))
    await journal.release(seen.length)
  }
  expect(seen).toEqual(Array.from({ length: 30 }, (_, index) => `r${index}`))
  expect(journal.stats().segments).toBeLessThan(4)
})

test('continues with the next record when its segment was removed', async () => {
  const disk = createFakeDisk()
  const journal = await openFilled(disk, 10)
  const reader = await openReaderOn(disk)
  await reader.read(0, { ...all, recordsMax: 1, endOffset: 10 })
  await journal.release(8)
  const page = await reader.read(5, { ...all, endOffset: 10 })
  expect(page.map(({ offset }) => offset)).toEqual([8, 9])
})

test('does not read a refused commit whose bytes are on disk and whose offset was reused', async () => {
  const disk = createFakeDisk()
  const journal = await openOn(disk)
  await until(() => journal.stats().bytes > 4096)
  await appendNames(journal, 'a')
  const reader = await openReaderOn(disk)
  const read = async (from: number) =>
    (await reader.read(from, { ...all, endOffset: journal.endOffset })).map(toName)
  expect(await read(0)).toEqual(['a'])
  let faults = 1
  disk.fault = (call) => (call === 'dataSync' && faults-- > 0 ? toError('EIO') : undefined)
  await expect(appendNames(journal, 'refused')).rejects.toThrow()
  expect(await read(1)).toEqual([])
  await appendNames(journal, 'b')
  expect(await read(1)).toEqual(['b'])
  expect(await read(0)).toEqual(['a', 'b'])
})

test('skips a segment without records that was removed meanwhile', async () => {
  const disk = createFakeDisk()
  const journal = await openOn(disk)
  const refuse = async () => {
    await until(() => journal.stats().bytes >= 2 * 4096) // The spare is made: a commit fails next.
    let faults = 1
    disk.fault = (call) => (call === 'dataSync' && faults-- > 0 ? toError('EIO') : undefined)
    await expect(appendNames(journal, 'refused')).rejects.toThrow()
  }
  await appendNames(journal, 'a')
  await appendNames(journal, 'b')
  await refuse()
  const reader = await openReaderOn(disk)
  const read = async (from: number, recordsMax: number) =>
    (await reader.read(from, { ...all, recordsMax, endOffset: journal.endOffset })).map(toName)
  expect(await read(0, 1)).toEqual(['a'])
  await refuse()
  await appendNames(journal, 'c')
  const segments = journal.stats().segments
  await journal.release(0)
  expect(journal.stats().segments).toBe(segments - 1)
  expect([...(await read(1, 1)), ...(await read(2, 1))]).toEqual(['b', 'c'])
})

test('reads each byte of a backlog about once with small pages', async () => {
  const disk = createFakeDisk()
  const journal = await openOn(disk, { segmentBytes: 512 * 1024, bytesMax: 64 * 1024 * 1024 })
  for (let index = 0; index < 500; index += 1)
    await journal.append([toRecord(`r${index}`, 'x'.repeat(10_000))])
  const reader = await openReaderOn(disk)
  let bytesRead = 0
  const attached = disk.attach()
  const counted = await openReader({
    dir,
    log: silentLog,
    fileSystem: {
      ...attached,
      async open(path, mode) {
        const file = await attached.open(path, mode)
        const read = async (into: Uint8Array, position: number) => {
          const bytes = await file.read(into, position)
          bytesRead += bytes
          return bytes
        }
        return { ...file, read }
      },
    },
  })
  await reader.close()
  let offset = 0
  while (offset < 500) {
    const page = await counted.read(offset, { bytesMax: 30_000, recordsMax: 100, endOffset: 500 })
    expect(page.length).toBeGreaterThan(0)
    offset = page.at(-1)!.offset + 1
  }
  expect(bytesRead).toBeLessThan(1.3 * journal.stats().bytes)
})

test('rejects a folder without a journal', async () => {
  await expect(openReaderOn(createFakeDisk())).rejects.toThrow(`there is no journal in ${dir}`)
})

test('rejects when a disk read fails, and succeeds at the next call', async () => {
  const disk = createFakeDisk()
  await openFilled(disk, 4)
  const reader = await openReaderOn(disk)
  disk.fault = (call) => (call === 'read' ? toError('EIO') : undefined)
  await expect(reader.read(0, { ...all, endOffset: 4 })).rejects.toThrow('EIO')
  disk.fault = () => undefined
  expect(await reader.read(0, { ...all, endOffset: 4 })).toHaveLength(4)
})

/** Damages the commit of the record `name`. */
function damage(disk: FakeDisk, segment: number, name: string): string {
  const path = join(dir, toSegmentName(segment))
  const bytes = disk.bytesOf(path)
  bytes[bytes.indexOf(`project:${name}`)]! ^= 1
  disk.put(path, bytes)
  return path
}

test.each([
  ['first', 'r2', ['r0', 'r1', 'r3', 'r4', 'r5']],
  ['last', 'r3', ['r0', 'r1', 'r2', 'r4', 'r5']],
])('reports, keeps and skips a damaged commit, the %s of its segment', async (_, name, names) => {
  const disk = createFakeDisk()
  await (await openFilled(disk, 6)).close()
  const path = damage(disk, 2, name)
  const log = createRecordingLog()
  const reader = await openReaderOn(disk, log)
  const page = await reader.read(0, { ...all, endOffset: 6 })
  expect(page.map(toName)).toEqual(names)
  expect(log.lines).toEqual([
    'error: the journal is damaged; all valid commits are still delivered',
  ])
  expect(disk.paths()).toContain(join(dir, 'damaged', toSegmentName(2)))

  const journal = await openOn(disk)
  expect(await namesIn(journal)).toEqual(names)
  expect(journal.stats().damages).toBe(1)
  await journal.release(6)
  expect(disk.paths()).not.toContain(path)
  expect(disk.bytesOf(join(dir, 'damaged', toSegmentName(2))).length).toBeGreaterThan(0)
})

test('reports a missing segment and reads all others', async () => {
  const disk = createFakeDisk()
  await (await openFilled(disk, 6)).close()
  await disk.attach().unlink(join(dir, toSegmentName(2)))
  const journal = await openOn(disk)
  expect(await namesIn(journal)).toEqual(['r0', 'r1', 'r4', 'r5'])
  expect(journal.stats().damages).toBe(1)
})
