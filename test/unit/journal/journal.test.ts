import { expect, test } from 'bun:test'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { silentLog } from '../../../src/core/log.ts'
import { openJournal } from '../../../src/journal/journal.ts'
import type { JournalOptions } from '../../../src/journal/parts.ts'
import { temporaryFolder } from '../../support/folder.ts'
import { until } from '../../support/until.ts'
import { createFakeDisk } from './fake-disk.ts'
import { appendNames, dir, namesIn, openOn, toRecord } from './support.ts'

const mib = 1024 * 1024

function openIn(folder: string, options: Partial<JournalOptions> = {}) {
  return openJournal({
    dir: join(folder, 'journal'),
    segmentBytes: mib,
    bytesMax: 64 * mib,
    durability: 'disk',
    now: Date.now,
    log: silentLog,
    onCommitted() {},
    ...options,
  })
}

test('reopens on a real disk with its identity, records and offsets', async () => {
  using folder = temporaryFolder()
  const journal = await openIn(folder.path)
  await appendNames(journal, 'a', 'b')
  await appendNames(journal, 'c')
  await journal.close()
  const reopened = await openIn(folder.path)
  expect(await namesIn(reopened)).toEqual(['a', 'b', 'c'])
  expect(reopened).toMatchObject({ id: journal.id, firstOffset: 0, endOffset: 3 })
  expect(journal.id).toMatch(/^[0-9a-f-]{36}$/)
  await reopened.close()
})

test('removes delivered segments and the spare from a real disk', async () => {
  using folder = temporaryFolder()
  const journal = await openIn(folder.path)
  const line = 'x'.repeat(mib / 4)
  for (let index = 0; index < 20; index += 1) await journal.append([toRecord(`r${index}`, line)])
  const { segments } = journal.stats()
  expect(segments).toBeGreaterThan(4)
  await journal.release(journal.endOffset)
  expect(journal.stats().segments).toBe(1)
  await journal.close()
  const files = readdirSync(join(folder.path, 'journal')).filter((name) =>
    name.endsWith('.segment'),
  )
  expect(files).toHaveLength(1)
})

test('stores the largest record that a contract allows', async () => {
  using folder = temporaryFolder()
  const journal = await openIn(folder.path)
  const line = 'é'.repeat((25 * mib) / 2)
  await journal.append([toRecord('small'), toRecord('large', line), toRecord('last')])
  const lengths: number[] = []
  await journal.replay((record) => lengths.push(record.line.length))
  expect(lengths[1]).toBe(25 * mib + 1)
  expect(lengths).toHaveLength(3)
  await journal.close()
})

test('removes whole released segments after the dedup keys are durable', async () => {
  const disk = createFakeDisk()
  const dedupKeys = Promise.withResolvers<void>()
  let isAsked = false
  const beforeUnlink = () => {
    isAsked = true
    return dedupKeys.promise
  }
  const journal = await openOn(disk, { beforeUnlink })
  for (let index = 0; index < 8; index += 1)
    await journal.append([toRecord(`r${index}`, 'x'.repeat(1300))])
  const before = journal.stats()
  const released = journal.release(5)
  await until(() => isAsked)
  expect(journal.stats().segments).toBe(before.segments)
  dedupKeys.resolve()
  await released
  expect(journal.firstOffset).toBe(4) // Two records fill a segment, and the second one is still needed.
  expect(await namesIn(journal)).toEqual(['r4', 'r5', 'r6', 'r7'])
  expect(journal.stats().bytes).toBeLessThan(before.bytes)
})

test('a release beyond the end of the journal does not release later records', async () => {
  const journal = await openOn(createFakeDisk())
  await journal.release(100)
  for (const name of ['a', 'b', 'c']) await journal.append([toRecord(name, 'x'.repeat(3000))])
  await journal.release(0)
  expect(await namesIn(journal)).toEqual(['a', 'b', 'c'])
})

test('keeps the segments when the dedup keys cannot be made durable', async () => {
  let isFailing = true
  const beforeUnlink = async () => {
    if (isFailing) throw new Error('the disk of the dedup keys is full')
  }
  const journal = await openOn(createFakeDisk(), { beforeUnlink })
  for (const name of ['a', 'b', 'c']) await journal.append([toRecord(name, 'x'.repeat(3000))])
  await journal.release(3)
  expect(journal.firstOffset).toBe(0)
  isFailing = false
  await journal.release(3)
  expect(journal.firstOffset).toBe(2)
})

test('starts a new segment at every start and removes empty ones', async () => {
  const disk = createFakeDisk()
  for (let start = 0; start < 5; start += 1) {
    const journal = await openOn(disk)
    await journal.close()
  }
  await openOn(disk).then((journal) => journal.close())
  const segments = disk.paths().filter((path) => path.endsWith('.segment'))
  expect(segments).toEqual([join(dir, '000000000006.segment')])
})

test('reports the age of the oldest undelivered record', async () => {
  const journal = await openOn(createFakeDisk())
  const appendAt = (receivedMs: number) => journal.append([{ ...toRecord('any'), receivedMs }])
  for (const seconds of [10, 20, 30]) await appendAt(seconds * 1000)
  expect(journal.stats().oldestMs).toBe(10_000)
  await journal.release(2)
  expect(journal.stats().oldestMs).toBe(30_000)
  await journal.release(3)
  expect(journal.stats().oldestMs).toBeUndefined()
})

test('restores a damaged identity file from the segments', async () => {
  const disk = createFakeDisk()
  const journal = await openOn(disk)
  await appendNames(journal, 'a')
  await journal.close()
  disk.put(join(dir, 'identity'), Buffer.from(`${crypto.randomUUID()} 0\n`))
  const reopened = await openOn(disk)
  expect({ id: reopened.id, names: await namesIn(reopened) }).toEqual({
    id: journal.id,
    names: ['a'],
  })
})

test('refuses to open with a segment of another journal', async () => {
  const [disk, other] = [createFakeDisk(), createFakeDisk()]
  await (await openOn(disk)).close()
  await (await openOn(other)).close()
  const foreign = join(dir, '000000000009.segment')
  disk.put(foreign, other.bytesOf(join(dir, '000000000001.segment')))
  await expect(openOn(disk)).rejects.toThrow(`${foreign} belongs to another journal`)
  await expect(openOn(disk)).rejects.not.toThrow('another server') // The lock was released.
})

test('a replay ends at the end of the journal at its begin, and yields to the event loop', async () => {
  const journal = await openOn(createFakeDisk())
  const names = Array.from({ length: 3000 }, (_, index) => `r${index}`)
  await appendNames(journal, ...names)
  const seen: string[] = []
  let isServed = false
  setImmediate(() => {
    isServed = seen.length < names.length
  })
  const replayed = journal.replay((record) => seen.push(record.head().event))
  await appendNames(journal, 'later')
  await replayed
  expect(seen).toEqual(names)
  expect(isServed).toBe(true)
})
