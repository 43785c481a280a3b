import { expect, test } from 'bun:test'
import { createBudget } from '../../../src/journal/budget.ts'
import { until } from '../../support/until.ts'
import { createFakeDisk } from './fake-disk.ts'
import { openOn, toRecord } from './support.ts'

const bytesMax = 64 * 1024
const kilobyte = 'x'.repeat(1000)

test('refuses reserved space to others, and returns it once', async () => {
  const journal = await openOn(createFakeDisk(), { bytesMax })
  const first = journal.reserve(40_000)
  expect(() => journal.reserve(40_000)).toThrow('The journal is full.')
  first.release()
  first.release()
  const second = journal.reserve(40_000)
  expect(() => journal.reserve(40_000)).toThrow('The journal is full.')
  second.release()
})

test('answers 503 with Retry-After when the budget is used up, until sinks have delivered', async () => {
  const disk = createFakeDisk()
  const journal = await openOn(disk, { bytesMax })
  let taken = 0
  const ingest = async () => {
    const reservation = journal.reserve(1200)
    await journal.append([toRecord(`r${taken}`, kilobyte)]).finally(reservation.release)
    taken += 1
  }
  const refusal = await until(() =>
    ingest().then(
      () => undefined,
      (error) => error,
    ),
  )
  expect(refusal).toMatchObject({
    code: 'journal_full',
    status: 503,
    details: { retryAfterSeconds: 1 },
  })
  expect(taken).toBeGreaterThan(30)
  expect(journal.stats()).toMatchObject({ isFull: true, bytesMax })
  await journal.release(taken / 2)
  await ingest()
  expect(journal.stats().bytes).toBeLessThan(bytesMax)
})

test('never uses more disk space than the budget', async () => {
  const disk = createFakeDisk()
  const journal = await openOn(disk, { bytesMax, segmentBytes: 1024 * 1024 })
  let most = 0
  for (let index = 0; index < 200; index += 1) {
    try {
      const reservation = journal.reserve(1200)
      await journal.append([toRecord('any', kilobyte)]).finally(reservation.release)
    } catch {
      await journal.release(journal.endOffset - 5)
    }
    most = Math.max(most, disk.usedBytes)
  }
  expect(journal.stats().eventsAppended).toBeGreaterThan(150)
  expect(most).toBeLessThanOrEqual(bytesMax + 1024) // The identity file and a frame header.
})

test('accepts records again after one huge delivered record filled the journal', async () => {
  const journal = await openOn(createFakeDisk(), { bytesMax })
  await journal.append([toRecord('giant', 'x'.repeat(bytesMax))])
  expect(() => journal.reserve(20_000)).toThrow('The journal is full.')
  await journal.release(journal.endOffset)
  journal.reserve(20_000).release()
  expect(journal.stats().bytes).toBeLessThan(bytesMax)
})

test.each([
  ['less than fifty events', 150, true],
  ['fifty events', 200, false],
])('on a full disk with prepared space for %s (%d KiB), isFull is %p', (_, spaceKib, isFull) => {
  const usage = {
    fileBytes: () => 0,
    spaceBytes: () => spaceKib * 1024,
    pendingBytes: () => 0,
    isDiskFull: () => true,
  }
  expect(createBudget({ bytesMax: 2 ** 30, usage }).isFull).toBe(isFull)
})
