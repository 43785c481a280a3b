import { expect, test } from 'bun:test'
import { until } from '../../support/until.ts'
import { createFakeDisk, type DiskCall, type FakeDisk, toError } from './fake-disk.ts'
import { appendNames, createRecordingLog, namesIn, openOn, toRecord } from './support.ts'

/** Fails the next `times` calls of a kind; a failed write has reached the page cache. */
function fail(disk: FakeDisk, failing: DiskCall, { code = 'EIO', times = 1 } = {}): void {
  let left = times
  disk.fault = (call) => (call === failing && left-- > 0 ? toError(code) : undefined)
}

async function openReady(disk: FakeDisk) {
  const journal = await openOn(disk)
  await until(() => journal.stats().bytes > 4096) // The spare is made: a commit fails next.
  return journal
}

const endings: [string, (disk: FakeDisk) => void][] = [
  ['a kill', (disk) => disk.kill()],
  ['a power cut that keeps everything', (disk) => disk.crash(() => true)],
  ['a power cut that keeps only what was synced', (disk) => disk.crash(() => false)],
]

for (const call of ['write', 'dataSync'] as const)
  test.each(endings)(
    `a commit whose ${call} failed is refused, and stays so after %s`,
    async (_, end) => {
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
    },
  )

test('a disk that is full only when it is written to is full all the same', async () => {
  const disk = createFakeDisk()
  const journal = await openReady(disk)
  fail(disk, 'write', { code: 'ENOSPC' })
  await expect(appendNames(journal, 'refused')).rejects.toMatchObject({ code: 'journal_full' })
  disk.kill()
  expect(await namesIn(await openOn(disk))).toEqual([])
})

test('a refused commit takes neither offset nor acknowledgement from the next', async () => {
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

test('a disk that takes nothing is told, until it works again without a client’s help', async () => {
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

test('a file that failed once is never written or synced again', async () => {
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

test('nobody is told of a refusal before it is durable', async () => {
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
  await until(() => syncs >= 3) // The next spare's, and the next segment's header.
  expect(isTold).toBe(false)
  gate.resolve()
  await refused
  expect(isTold).toBe(true)
})

test('without another segment, the failed file is cut so that the refusal holds', async () => {
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

test('a journal whose disk fails for a while goes on by itself', async () => {
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

test('what the page cache shows after a failed sync is synced anew before it counts', async () => {
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
  disk.kill() // Before the refusal was durable, so nobody was told of it.
  disk.fault = () => undefined
  expect(await namesIn(await openOn(disk))).toEqual(['unknown'])
  disk.crash(() => false)
  expect(await namesIn(await openOn(disk))).toEqual(['unknown'])
})

test('what is found at a start without room for a segment is synced where it stands', async () => {
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

test('a segment is not written on once the header of the next may be on disk', async () => {
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
  'a crash amid a removal, after %d files, looks like no damage',
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

test('a full disk refuses, keeps what it has, and takes more once there is room', async () => {
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
  expect(log.lines).toContain('info: the journal has room again')
})

test('a full disk gets its room back from what is delivered', async () => {
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

test('a server that starts on a full disk ships what it has and refuses until there is room', async () => {
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

test('a file that cannot be removed stays until the next release', async () => {
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
