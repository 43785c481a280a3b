import { expect, test } from 'bun:test'
import { mkdirSync } from 'node:fs'
import { join, relative } from 'node:path'
import { loadConfig } from '../../../src/config/config.ts'
import { findOrphanedJournals, toShare } from '../../../src/config/per-worker.ts'
import { temporaryFolder } from '../../support/folder.ts'

const mib = 1024 * 1024

test.each([
  ['nothing where nobody ran', [], 1, []],
  ['workers, to a process without them', ['worker-1', 'worker-0'], 1, ['worker-0', 'worker-1']],
  [
    'the highest, to fewer',
    ['worker-0', 'worker-1', 'worker-10', 'worker-2'],
    2,
    ['worker-2', 'worker-10'],
  ],
  ['none to as many', ['worker-0', 'worker-1'], 2, []],
  ['the journal of one process, to workers', ['journal', 'clickhouse'], 2, ['']],
  ['nothing but workers', ['worker-x', 'worker-', 'my-worker-9', 'markers'], 1, []],
])('leaves behind: %s', (_, folders, workers, expected) => {
  using data = temporaryFolder()
  for (const name of folders) mkdirSync(join(data.path, name))
  const found = findOrphanedJournals(data.path, workers)
  expect(found.map((path) => relative(data.path, path))).toEqual(expected)
})

test('a folder that is not there leaves nothing behind', () => {
  expect(findOrphanedJournals('/nowhere/at/all', 1)).toEqual([])
})

test('workers share the room of their node, down to what one process needs', () => {
  const { config } = loadConfig({ WORKERS: '8', JOURNAL_MAX_BYTES: '8GiB', DATA_DIR: '/data' })
  const share = toShare(config, 3)
  expect(share.dataDir).toBe('/data/worker-3')
  expect(share.JOURNAL_MAX_BYTES).toBe(1024 * mib)
  expect(share.INFLIGHT_REQUESTS_MAX).toBe(512)
  expect(share.INTAKE_BYTES_MAX).toBe(208 * mib) // An eighth would not hold one large body.
  expect(config.dataDir).toBe('/data')
})
