import { expect, test } from 'bun:test'
import { temporaryFolder } from '../../support/folder.ts'
import { toDedupKey } from '../ingest/support.ts'
import {
  createFakeShipping,
  makeConfig,
  openJournalIn,
  openTestStorage,
  toRecord,
} from './support.ts'

/** Whether the dedup recognises each seed as seen. */
async function areSeen(
  { dedup }: Awaited<ReturnType<typeof openTestStorage>>['storage'],
  seeds: readonly string[],
): Promise<boolean[]> {
  const claim = await dedup.claim(seeds.map(toDedupKey))
  const seen = seeds.map((_, index) => !claim.isNew(index))
  claim.release()
  return seen
}

test('hands each commit to the shippers', async () => {
  using folder = temporaryFolder()
  const shipping = createFakeShipping()
  const { storage, close } = await openTestStorage(makeConfig(folder.path), shipping)
  await storage.started
  await storage.journal.append([toRecord('a'), toRecord('b')])
  await storage.journal.append([toRecord('c')])
  expect(shipping.calls).toEqual(['push 0+2', 'push 2+1'])
  await close(0)
})

test('recognises events of the journal after a crash that lost their dedup keys', async () => {
  using folder = temporaryFolder()
  const journal = await openJournalIn(folder.path)
  const seeds = Array.from({ length: 1500 }, (_, index) => `e${index}`)
  await journal.append(seeds.map(toRecord))
  await journal.close()

  const { storage, close } = await openTestStorage(makeConfig(folder.path), createFakeShipping())
  expect(await areSeen(storage, ['e0', 'e999', 'e1000', 'e1499', 'new'])).toEqual([
    ...[true, true, true, true, false],
  ])
  await close(0)
})

test('recognises the payload key of a journal record after a crash', async () => {
  using folder = temporaryFolder()
  const journal = await openJournalIn(folder.path)
  await journal.append([{ ...toRecord('a'), payloadKey: toDedupKey('payload') }])
  await journal.close()
  const { storage, close } = await openTestStorage(makeConfig(folder.path), createFakeShipping())
  expect(await areSeen(storage, ['a', 'payload', 'new'])).toEqual([true, true, false])
  await close(0)
})

test('marks the dedup keys of the journal in Redis, at most 1000 in one call', async () => {
  using folder = temporaryFolder()
  const journal = await openJournalIn(folder.path)
  await journal.append(Array.from({ length: 1500 }, (_, index) => toRecord(`e${index}`)))
  await journal.close()
  const counts: number[] = []
  const shared = {
    isAvailable: () => true,
    find: async () => [],
    async mark(dedupKeys: readonly unknown[]) {
      counts.push(dedupKeys.length)
    },
  }
  const opened = await openTestStorage(makeConfig(folder.path), createFakeShipping(), { shared })
  expect(counts).toEqual([1000, 500])
  await opened.close(0)
})

test('counts the events that no sink has shipped as recovered', async () => {
  using folder = temporaryFolder()
  const journal = await openJournalIn(folder.path)
  await journal.append([toRecord('a'), toRecord('b')])
  await journal.close()
  const config = makeConfig(folder.path, { KAFKA_BROKERS: '127.0.0.1:1' })
  const { storage, close } = await openTestStorage(config, createFakeShipping())
  expect(storage.recovered).toEqual({ clickhouse: { capture: 2 }, kafka: { capture: 2 } })
  await close(0)
})

test('rejects `started` when the shippers cannot run, and still closes', async () => {
  using folder = temporaryFolder()
  const shipping = createFakeShipping({ startError: new Error('no such broker') })
  const { storage, close } = await openTestStorage(makeConfig(folder.path), shipping)
  await expect(storage.started).rejects.toThrow('no such broker')
  await close(0)
  expect(shipping.calls).toEqual(['drain without time', 'close'])
})

test('drains the shippers within the time limit, then closes them, the journal and the dedup keys', async () => {
  using folder = temporaryFolder()
  const order: string[] = []
  let appending: Promise<unknown> = Promise.resolve()
  const shipping = createFakeShipping({
    onClose() {
      // The journal is still open when the shippers close: they may have to read it.
      appending = opened.storage.journal.append([toRecord('late')]).then(() => order.push('append'))
    },
  })
  const opened = await openTestStorage(makeConfig(folder.path), shipping)
  await opened.close(1000)
  await appending
  expect(shipping.calls.slice(0, 2)).toEqual(['drain with time', 'close'])
  expect(order).toEqual(['append'])
  await expect(opened.storage.journal.append([toRecord('later')])).rejects.toThrow()
})

test('leaves the journal to others when opening fails halfway', async () => {
  using folder = temporaryFolder()
  const create = () => {
    throw new Error('no thread')
  }
  const failing = { ...createFakeShipping(), create }
  await expect(openTestStorage(makeConfig(folder.path), failing)).rejects.toThrow('no thread')
  const journal = await openJournalIn(folder.path)
  await journal.close()
})

test('refuses a journal that another server has open', async () => {
  using folder = temporaryFolder()
  const journal = await openJournalIn(folder.path)
  const opening = openTestStorage(makeConfig(folder.path), createFakeShipping())
  await expect(opening).rejects.toThrow('another server uses the journal')
  await journal.close()
})
