import { expect, test } from 'bun:test'
import type { CommittedBlock } from '../../../src/core/record.ts'
import { toRecords } from '../../../src/journal/record-codec.ts'
import { until } from '../../support/until.ts'
import { createFakeDisk, toError } from './fake-disk.ts'
import { appendNames, createRecordingLog, namesIn, openOn, toName, toRecord } from './support.ts'

/** Blocks all calls of a kind until `letGo`. */
function hold(disk: ReturnType<typeof createFakeDisk>, held: 'write' | 'dataSync') {
  const gate = Promise.withResolvers<void>()
  let isHolding = false
  disk.fault = (call) => {
    if (call !== held) return undefined
    isHolding = true
    return gate.promise
  }
  return { reached: () => until(() => isHolding), letGo: () => gate.resolve() }
}

test('commits requests that arrive during one sync together in the next', async () => {
  const disk = createFakeDisk()
  const journal = await openOn(disk)
  await until(() => journal.stats().bytes > 4096) // The spare exists: the blocked call belongs to a commit.
  const gate = hold(disk, 'dataSync')
  const first = appendNames(journal, 'a')
  await gate.reached()
  const others = Promise.all(['b', 'c', 'd'].map((name) => appendNames(journal, name)))
  expect(journal.stats().pendingRequests).toBe(4)
  gate.letGo()
  await Promise.all([first, others])
  expect(journal.stats()).toMatchObject({ commits: 2, eventsAppended: 4, pendingRequests: 0 })
  expect(await namesIn(journal)).toEqual(['a', 'b', 'c', 'd'])
})

test('commits requests of one event-loop iteration together', async () => {
  const journal = await openOn(createFakeDisk())
  await Promise.all(['a', 'b', 'c'].map((name) => appendNames(journal, name)))
  expect(journal.stats().commits).toBe(1)
})

test('acknowledges, passes on and counts a commit only after its sync', async () => {
  const disk = createFakeDisk()
  const blocks: CommittedBlock[] = []
  let nowMs = 1000
  const journal = await openOn(disk, {
    onCommitted: (block) => blocks.push(block),
    now: () => nowMs,
  })
  await until(() => journal.stats().bytes > 4096)
  const gate = hold(disk, 'dataSync')
  let isTaken = false
  const appended = appendNames(journal, 'a', 'b').then(() => {
    isTaken = true
  })
  await gate.reached()
  nowMs += 250
  expect({ isTaken, blocks, end: journal.endOffset }).toEqual({
    isTaken: false,
    blocks: [],
    end: 0,
  })
  expect(journal.stats().stuckMs).toBe(250)
  gate.letGo()
  await appended
  expect(blocks.flatMap(toRecords).map(toName)).toEqual(['a', 'b'])
  expect(blocks[0]).toMatchObject({ firstOffset: 0, count: 2 })
  expect({ end: journal.endOffset, stuckMs: journal.stats().stuckMs }).toEqual({
    end: 2,
    stuckMs: 0,
  })
})

test('passes on a committed block that can be transferred to another thread', async () => {
  const blocks: CommittedBlock[] = []
  const journal = await openOn(createFakeDisk(), { onCommitted: (block) => blocks.push(block) })
  await appendNames(journal, 'a')
  const [block] = blocks
  const moved = structuredClone(block!, { transfer: [block!.bytes.buffer as ArrayBuffer] })
  await appendNames(journal, 'b')
  expect(toRecords(moved).map(toName)).toEqual(['a'])
})

test('acknowledges a commit though the consumer throws', async () => {
  const log = createRecordingLog()
  const onCommitted = () => {
    throw new Error('the thread has ended')
  }
  const journal = await openOn(createFakeDisk(), { onCommitted, log })
  await appendNames(journal, 'a')
  expect(log.lines).toContain(
    'error: cannot pass on a committed block; shippers read it from the disk',
  )
})

test('puts a request larger than a segment into a segment of its own', async () => {
  const disk = createFakeDisk()
  const journal = await openOn(disk)
  const line = 'x'.repeat(50_000)
  await journal.append([toRecord('small')])
  await journal.append([toRecord('large', line), toRecord('larger', line)])
  await journal.append([toRecord('after')])
  await journal.close()
  expect(await namesIn(await openOn(disk))).toEqual(['small', 'large', 'larger', 'after'])
})

test('continues after a short write', async () => {
  const disk = createFakeDisk()
  const journal = await openOn(disk)
  disk.fault = (call) => (call === 'write' ? 100 : undefined)
  await appendNames(journal, 'a', 'b', 'c')
  disk.kill()
  disk.fault = () => undefined
  expect(await namesIn(await openOn(disk))).toEqual(['a', 'b', 'c'])
})

test('close waits for running commits and refuses later requests', async () => {
  const disk = createFakeDisk()
  const journal = await openOn(disk)
  const appended = appendNames(journal, 'a')
  const closed = journal.close()
  expect(journal.close()).toBe(closed)
  await expect(appendNames(journal, 'b')).rejects.toMatchObject({ code: 'shutting_down' })
  expect(() => journal.reserve(1)).toThrow('The server is stopping.')
  await Promise.all([appended, closed])
  expect(await namesIn(await openOn(disk))).toEqual(['a'])
})

test('acknowledges an empty request without a commit', async () => {
  const journal = await openOn(createFakeDisk())
  await journal.append([])
  await appendNames(journal, 'a')
  expect(await namesIn(journal)).toEqual(['a'])
  expect(journal.stats()).toMatchObject({ commits: 1, eventsAppended: 1 })
})

test('rejects a request that cannot be encoded, and commits the others', async () => {
  const journal = await openOn(createFakeDisk())
  const broken = { ...toRecord('broken'), dedupKey: 'no key' }
  const [first, refused, second] = await Promise.allSettled([
    appendNames(journal, 'a'),
    journal.append([toRecord('beside'), broken]),
    appendNames(journal, 'b'),
  ])
  expect([first.status, refused.status, second.status]).toEqual([
    'fulfilled',
    'rejected',
    'fulfilled',
  ])
  await expect(journal.append([broken])).rejects.toThrow('32 hex digits')
  await appendNames(journal, 'c')
  expect(await namesIn(journal)).toEqual(['a', 'b', 'c'])
  expect(journal.stats().pendingRequests).toBe(0)
})

test('DURABILITY=memory: passes on a request larger than the size of a commit', async () => {
  const blocks: CommittedBlock[] = []
  const onCommitted = (block: CommittedBlock) => void blocks.push(block)
  const disk = createFakeDisk()
  const journal = await openOn(disk, { durability: 'memory', onCommitted })
  await journal.append([toRecord('giant', 'x'.repeat(5 * 1024 * 1024))])
  expect(blocks).toHaveLength(1)
  await until(() => journal.stats().pendingBytes === 0)
  await journal.close()
})

test('DURABILITY=memory: acknowledges before the write, and writes later', async () => {
  const disk = createFakeDisk()
  const blocks: CommittedBlock[] = []
  const onCommitted = (block: CommittedBlock) => void blocks.push(block)
  const journal = await openOn(disk, { durability: 'memory', onCommitted })
  const gate = hold(disk, 'write')
  await Promise.all([appendNames(journal, 'a'), appendNames(journal, 'b')])
  expect(blocks).toHaveLength(1)
  await appendNames(journal, 'c')
  expect({ blocks: blocks.length, end: journal.endOffset }).toEqual({ blocks: 2, end: 3 })
  gate.letGo()
  await journal.close()
  expect(await namesIn(await openOn(disk))).toEqual(['a', 'b', 'c'])
})

test('DURABILITY=memory: counts a failed write and commits later ones', async () => {
  const disk = createFakeDisk()
  const journal = await openOn(disk, { durability: 'memory' })
  await until(() => journal.stats().bytes > 4096)
  let faults = 1
  disk.fault = (call) => (call === 'write' && faults-- > 0 ? toError('EIO') : undefined)
  await appendNames(journal, 'a')
  await until(() => journal.stats().failures === 1)
  await appendNames(journal, 'b')
  await journal.close()
  const reopened = await openOn(disk)
  expect({ names: await namesIn(reopened), end: reopened.endOffset }).toEqual({
    names: ['b'],
    end: 2,
  })
})

test('does not reuse the offset of a lost record that a sink has passed', async () => {
  const disk = createFakeDisk()
  const journal = await openOn(disk, { durability: 'memory' })
  await appendNames(journal, 'a', 'b')
  await until(() => journal.stats().pendingBytes === 0)
  disk.crash(() => false)
  const reopened = await openOn(disk, { endOffsetMin: 2 })
  await appendNames(reopened, 'c')
  const offsets: number[] = []
  await reopened.replay(({ offset }) => offsets.push(offset))
  expect({ offsets, names: await namesIn(reopened) }).toEqual({ offsets: [2], names: ['c'] })
})
