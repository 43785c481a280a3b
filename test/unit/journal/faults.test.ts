import { expect, test } from 'bun:test'
import { until } from '../../support/until.ts'
import { createFakeDisk, type DiskCall, type FakeDisk, toError } from './fake-disk.ts'
import { appendNames, createRecordingLog, namesIn, openOn, toRecord } from './support.ts'

/** Fails the next `times` calls of a kind. A failed write has reached the page cache. */
function fail(disk: FakeDisk, failing: DiskCall, { code = 'EIO', times = 1 } = {}): void {
  let left = times
  disk.fault = (call) => (call === failing && left-- > 0 ? toError(code) : undefined)
}

async function openReady(disk: FakeDisk) {
  const journal = await openOn(disk)
  await until(() => journal.stats().bytes > 4096) // The spare exists: the next failure hits a commit.
  return journal
}

const endings: [string, (disk: FakeDisk) => void][] = [
  ['a kill', (disk) => disk.kill()],
  ['a power cut that keeps everything', (disk) => disk.crash(() => true)],
  ['a power cut that keeps only what was synced', (disk) => disk.crash(() => false)],
]

for (const call of ['write', 'dataSync'] as const)
  test.each(endings)(`refuses a commit whose ${call} failed, also after %s`, async (_, end) => {
    const disk = createFakeDisk()
    const journal = await openReady(disk)
    await appendNames(journal, 'before')
    fail(disk, call)
    const refused = Promise.all([appendNames(journal, 'refused'), appendNames(journal, 'too')])
    await expect(refused).rejects.toMatchObject({
      code: 'journal_failed',
      status: 503,
      details: { retryAfterSeconds: 1 },
    })
    end(disk)
    const reopened = await openOn(disk)
    expect(await namesIn(reopened)).toEqual(['before'])
    expect({ end: reopened.endOffset, damages: reopened.stats().damages }).toEqual({
      end: 1,
      damages: 0,
    })
  })

test('answers journal_full when a write fails with ENOSPC', async () => {
  const disk = createFakeDisk()
  const journal = await openReady(disk)
  fail(disk, 'write', { code: 'ENOSPC' })
  await expect(appendNames(journal, 'refused')).rejects.toMatchObject({ code: 'journal_full' })
  disk.kill()
  expect(await namesIn(await openOn(disk))).toEqual([])
})

test('commits the next request at the offset of a refused one', async () => {
  const disk = createFakeDisk()
  const journal = await openReady(disk)
  fail(disk, 'dataSync')
  const [refused, taken] = await Promise.allSettled([
    appendNames(journal, 'refused'),
    until(() => journal.stats().failures === 1).then(() => appendNames(journal, 'taken')),
  ])
  expect([refused.status, taken.status]).toEqual(['rejected', 'fulfilled'])
  expect(await namesIn(journal)).toEqual(['taken'])
  expect(journal.endOffset).toBe(1)
  expect(journal.stats()).toMatchObject({ lastError: 'The disk failed.', isFailing: false })
})

test('reports a failing disk until it works again, without a request', async () => {
  const disk = createFakeDisk()
  const journal = await openReady(disk)
  disk.fault = (call) => (call === 'write' ? toError('EIO') : undefined)
  await expect(appendNames(journal, 'refused')).rejects.toMatchObject({ code: 'journal_failed' })
  expect(journal.stats()).toMatchObject({ isFailing: true, isFull: false })
  disk.fault = () => undefined
  await until(() => !journal.stats().isFailing)
  await appendNames(journal, 'taken')
  expect(await namesIn(journal)).toEqual(['taken'])
})

test('never writes or syncs a file again after a failure', async () => {
  const disk = createFakeDisk()
  const journal = await openReady(disk)
  let failed = ''
  const after: string[] = []
  disk.fault = (call, path) => {
    if (path === failed && (call === 'write' || call === 'dataSync' || call === 'sync'))
      after.push(call)
    if (call !== 'dataSync' || failed) return undefined
    failed = path
    return toError('EIO')
  }
  await expect(appendNames(journal, 'refused')).rejects.toThrow('The disk failed.')
  await appendNames(journal, 'a')
  await appendNames(journal, 'b')
  await journal.close()
  expect({ failed: failed !== '', after }).toEqual({ failed: true, after: [] })
})

test('reports a refusal only after it is durable', async () => {
  const disk = createFakeDisk()
  const journal = await openReady(disk)
  let syncs = 0
  const gate = Promise.withResolvers<void>()
  disk.fault = (call) => {
    if (call !== 'dataSync') return undefined
    syncs += 1
    return syncs === 1 ? toError('EIO') : gate.promise
  }
  let isTold = false
  const refused = appendNames(journal, 'refused').catch(() => {
    isTold = true
  })
  await until(() => syncs >= 3) // Of the next spare and of the next segment's header.
  expect(isTold).toBe(false)
  gate.resolve()
  await refused
  expect(isTold).toBe(true)
})

test('truncates the failed file when no further segment can be created', async () => {
  const disk = createFakeDisk()
  const journal = await openReady(disk)
  await appendNames(journal, 'before')
  let isCommit = true
  disk.fault = (call, path) => {
    if (call !== 'dataSync' || (!isCommit && path.endsWith('1.segment'))) return undefined
    isCommit = false
    return toError('EIO')
  }
  await expect(appendNames(journal, 'refused')).rejects.toMatchObject({ code: 'journal_failed' })
  disk.crash(() => true)
  disk.fault = () => undefined
  expect(await namesIn(await openOn(disk))).toEqual(['before'])
})

test('accepts requests again when the disk works again', async () => {
  const disk = createFakeDisk()
  const journal = await openReady(disk)
  fail(disk, 'dataSync', { times: Number.POSITIVE_INFINITY })
  for (const name of ['a', 'b', 'c'])
    await expect(appendNames(journal, name)).rejects.toMatchObject({ code: 'journal_failed' })
  disk.fault = () => undefined
  await until(() =>
    appendNames(journal, 'd').then(
      () => true,
      () => false,
    ),
  )
  expect(await namesIn(journal)).toEqual(['d'])
})

test('syncs a commit again that only the page cache may hold after a failed sync', async () => {
  const disk = createFakeDisk()
  const journal = await openReady(disk)
  let calls = 0
  disk.fault = (call) => {
    if (call !== 'dataSync' && calls === 0) return undefined
    calls += 1
    return calls === 1 ? toError('EIO') : new Promise(() => {})
  }
  void appendNames(journal, 'unknown')
  await until(() => calls > 1)
  disk.kill() // Before the refusal was durable, so it was not reported.
  disk.fault = () => undefined
  expect(await namesIn(await openOn(disk))).toEqual(['unknown'])
  disk.crash(() => false)
  expect(await namesIn(await openOn(disk))).toEqual(['unknown'])
})

test('syncs the last commit in place when a start has no space for a segment', async () => {
  const disk = createFakeDisk()
  const journal = await openReady(disk)
  let isWritten = false
  disk.fault = (call) => {
    if (call !== 'dataSync') return undefined
    isWritten = true
    return new Promise(() => {})
  }
  void appendNames(journal, 'unknown')
  await until(() => isWritten)
  disk.kill()
  disk.fault = (call, path) =>
    call === 'open' && path.endsWith('3.segment') ? toError('ENOSPC') : undefined
  expect(await namesIn(await openOn(disk))).toEqual(['unknown'])
  disk.crash(() => false)
  disk.fault = () => undefined
  expect(await namesIn(await openOn(disk))).toEqual(['unknown'])
})

test('does not write to a segment when the header of the next may be on disk', async () => {
  const disk = createFakeDisk()
  const journal = await openReady(disk)
  await appendNames(journal, 'before')
  let faults = 1
  disk.fault = (call, path) =>
    call === 'write' && path.endsWith('2.segment') && faults-- > 0 ? toError('EIO') : undefined
  const tooLargeForTheFirst = journal.append([toRecord('refused', 'x'.repeat(3000))])
  await expect(tooLargeForTheFirst).rejects.toMatchObject({ code: 'journal_failed' })
  await appendNames(journal, 'after')
  disk.kill()
  expect(await namesIn(await openOn(disk))).toEqual(['before', 'after'])
})

test.each([1, 2, 3, 4, 5])(
  'finds no damage after a crash during a removal, after %d files',
  async (files) => {
    for (let kept = 0; kept < 2 ** files; kept += 1) {
      const disk = createFakeDisk()
      const journal = await openReady(disk)
      for (let index = 0; index < 7; index += 1)
        await journal.append([toRecord(`r${index}`, 'x'.repeat(2500))])
      const stopped = Promise.withResolvers<void>()
      let unlinks = 0
      disk.fault = (call) => {
        if (call !== 'unlink' || unlinks++ < files) return undefined
        stopped.resolve()
        return new Promise(() => {})
      }
      void journal.release(7)
      await stopped.promise
      let bit = 0
      disk.crash(() => ((kept >> (bit++ % files)) & 1) === 1)
      disk.fault = () => undefined
      const reopened = await openOn(disk)
      const names = await namesIn(reopened)
      expect(names).toEqual(['r0', 'r1', 'r2', 'r3', 'r4', 'r5', 'r6'].slice(-names.length))
      expect(reopened.stats().damages).toBe(0)
    }
  },
)

test('refuses on a full disk, keeps its records, and accepts again when there is space', async () => {
  const disk = createFakeDisk()
  disk.capacity = 3 * 4096
  const log = createRecordingLog()
  const journal = await openOn(disk, { log })
  const line = 'x'.repeat(1000)
  let taken = 0
  const append = () => journal.append([toRecord(`record-${taken}`, line)]).then(() => (taken += 1))
  await until(() =>
    append().then(
      () => false,
      (error) => error.code === 'journal_full',
    ),
  )
  expect(() => journal.reserve(2000)).toThrow('The journal is full.')
  expect(journal.stats().isFull).toBe(true)
  const errors = () => log.lines.filter((text) => text.startsWith('error')).length
  const errorsBefore = errors()
  for (let index = 0; index < 20; index += 1) await append().catch(() => {})
  expect(errors()).toBe(errorsBefore)
  const names = Array.from({ length: taken }, (_, index) => `record-${index}`)
  expect(await namesIn(journal)).toEqual(names)
  disk.capacity = Number.POSITIVE_INFINITY
  await until(() => !journal.stats().isFull)
  journal.reserve(2000).release()
  await append()
  expect(taken).toBe(names.length + 1)
  expect(log.lines).toContain('info: the journal has space again')
})

test('frees a full disk when records are delivered', async () => {
  const disk = createFakeDisk()
  disk.capacity = 4 * 4096
  const journal = await openOn(disk)
  const append = () => journal.append([toRecord('any', 'x'.repeat(1000))])
  await until(() =>
    append().then(
      () => false,
      () => true,
    ),
  )
  await journal.release(journal.endOffset)
  await until(() =>
    append().then(
      () => true,
      () => false,
    ),
  )
})

test('starts on a full disk, replays its records, and refuses until there is space', async () => {
  const disk = createFakeDisk()
  const journal = await openOn(disk)
  await appendNames(journal, 'a', 'b')
  await journal.close()
  disk.capacity = disk.usedBytes
  const reopened = await openOn(disk)
  expect(await namesIn(reopened)).toEqual(['a', 'b'])
  expect(() => reopened.reserve(1)).toThrow('The journal is full.')
  await expect(appendNames(reopened, 'c')).rejects.toMatchObject({ code: 'journal_full' })
  disk.capacity = Number.POSITIVE_INFINITY
  await until(() => !reopened.stats().isFull)
  await appendNames(reopened, 'd')
  disk.crash(() => false)
  expect(await namesIn(await openOn(disk))).toEqual(['a', 'b', 'd'])
})

test('removes a file at the next release after a failure', async () => {
  const disk = createFakeDisk()
  const journal = await openReady(disk)
  const line = 'x'.repeat(3000)
  for (const name of ['a', 'b', 'c']) await journal.append([toRecord(name, line)])
  fail(disk, 'unlink')
  await journal.release(3)
  expect(journal.firstOffset).toBe(0)
  await journal.release(3)
  expect(journal.firstOffset).toBe(2)
})
