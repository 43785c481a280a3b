import { expect, test } from 'bun:test'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { createOrphanDelivery } from '../../../src/app/orphaned-journals.ts'
import type { Log } from '../../../src/core/log.ts'
import { createDedup } from '../../../src/ingest/dedup/dedup.ts'
import { createDedupTable } from '../../../src/ingest/dedup/seen-table.ts'
import { temporaryFolder } from '../../support/folder.ts'
import { until } from '../../support/until.ts'
import { toDedupKey } from '../ingest/support.ts'
import {
  createFakeShipping,
  type FakeShipping,
  makeConfig,
  openJournalIn,
  toRecord,
} from './support.ts'

/** Makes the journals of processes that ended with events left to deliver. */
async function makeOrphans(dataDir: string, names: readonly string[]): Promise<string[]> {
  const folders = names.map((name) => join(dataDir, name))
  for (const folder of folders) {
    const journal = await openJournalIn(folder)
    await journal.append([toRecord('a'), toRecord('b')])
    await journal.close()
  }
  return folders
}

function createDelivery(dataDir: string, folders: readonly string[], shipping: FakeShipping) {
  const table = createDedupTable({ bytesMax: 1024 * 1024, now: Date.now })
  const dedup = createDedup({ table })
  const errors: object[] = []
  const log: Log = {
    ...{ debug() {}, info() {}, warn() {} },
    error: (fields) => void errors.push(fields),
  }
  const delivery = createOrphanDelivery({
    ...{ folders, config: makeConfig(dataDir), storage: { table, dedup }, log },
    ...{ now: Date.now, createShipping: shipping.create },
  })
  return { delivery, dedup, errors }
}

const hasJournal = (folder: string) => existsSync(join(folder, 'journal'))

test('delivers all of a journal, then removes it and continues with the next', async () => {
  using data = temporaryFolder()
  const folders = await makeOrphans(data.path, ['worker-2', 'worker-3'])
  const shipping = createFakeShipping()
  const { delivery, dedup } = createDelivery(data.path, folders, shipping)
  const delivered = delivery.start()
  await until(() => shipping.given.length === 1)
  shipping.advance('clickhouse', 1)
  expect(folders.map(hasJournal)).toEqual([true, true])
  shipping.advance('clickhouse', 2)
  await until(() => shipping.given.length === 2)
  expect(folders.map(hasJournal)).toEqual([false, true])
  await until(() => shipping.calls.length === 1)
  shipping.advance('clickhouse', 2)
  await delivered
  expect(folders.map(hasJournal)).toEqual([false, false])
  expect(shipping.calls).toEqual(['close', 'close'])
  const claim = await dedup.claim([toDedupKey('a'), toDedupKey('new')])
  expect([claim.isNew(0), claim.isNew(1)]).toEqual([false, true])
  await dedup.close()
})

test('keeps a journal until every sink has it', async () => {
  using data = temporaryFolder()
  const folders = await makeOrphans(data.path, ['worker-2'])
  const shipping = createFakeShipping({ cursors: { clickhouse: 2, kafka: 0 } })
  const { delivery } = createDelivery(data.path, folders, shipping)
  const delivered = delivery.start()
  await until(() => shipping.given.length === 1)
  shipping.advance('kafka', 1)
  expect(folders.map(hasJournal)).toEqual([true])
  shipping.advance('kafka', 2)
  await delivered
  expect(folders.map(hasJournal)).toEqual([false])
})

test('keeps a journal whose shippers cannot run, and logs its folder', async () => {
  using data = temporaryFolder()
  const folders = await makeOrphans(data.path, ['worker-2', 'worker-3'])
  const shipping = createFakeShipping({ startError: new Error('no such broker') })
  const { delivery, errors } = createDelivery(data.path, folders, shipping)
  await delivery.start()
  expect(folders.map(hasJournal)).toEqual([true, true])
  expect(errors).toEqual(folders.map((folder) => ({ folder, error: 'Error: no such broker' })))
  expect(shipping.calls).toEqual(['close', 'close'])
})

test('keeps what is not delivered on close, and starts no further journal', async () => {
  using data = temporaryFolder()
  const folders = await makeOrphans(data.path, ['worker-2', 'worker-3'])
  const shipping = createFakeShipping()
  const { delivery } = createDelivery(data.path, folders, shipping)
  const delivered = delivery.start()
  await until(() => shipping.given.length === 1)
  await delivery.close()
  await delivered
  expect(shipping.given).toHaveLength(1)
  expect(shipping.calls).toEqual(['close'])
  expect(delivery.folders()).toEqual({ waiting: folders, failed: [] })
  expect(folders.map(hasJournal)).toEqual([true, true])
  for (const folder of folders) await (await openJournalIn(folder)).close()
})

test('closes at once if it was never started', async () => {
  using data = temporaryFolder()
  const { delivery } = createDelivery(data.path, [], createFakeShipping())
  await delivery.close()
})

test('skips a journal that another process has open', async () => {
  using data = temporaryFolder()
  const folders = await makeOrphans(data.path, ['worker-2', 'worker-3'])
  const owner = await openJournalIn(folders[0]!)
  const shipping = createFakeShipping({ cursors: { clickhouse: 2 } })
  const { delivery, errors } = createDelivery(data.path, folders, shipping)
  await delivery.start()
  expect(folders.map(hasJournal)).toEqual([true, false])
  expect(errors).toEqual([expect.objectContaining({ folder: folders[0] })])
  expect(delivery.folders()).toEqual({ waiting: [], failed: [folders[0]!] })
  await owner.close()
})
