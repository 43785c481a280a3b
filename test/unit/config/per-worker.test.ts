import { expect, test } from 'bun:test'
import { mkdirSync } from 'node:fs'
import { join, relative } from 'node:path'
import { loadConfig } from '../../../src/config/config.ts'
import { findOrphanedJournals, toShare } from '../../../src/config/per-worker.ts'
import { temporaryFolder } from '../../support/folder.ts'

const mib = 1024 * 1024

test.each([
  ['nothing in an empty folder', [], 1, []],
  ['all workers, for a single process', ['worker-1', 'worker-0'], 1, ['worker-0', 'worker-1']],
  [
    'the highest, for fewer workers',
    ['worker-0', 'worker-1', 'worker-10', 'worker-2'],
    2,
    ['worker-2', 'worker-10'],
  ],
  ['none for as many workers', ['worker-0', 'worker-1'], 2, []],
  ['the journal of a single process, for workers', ['journal', 'clickhouse'], 2, ['']],
  ['no folders of other names', ['worker-x', 'worker-', 'my-worker-9', 'markers'], 1, []],
])('finds orphaned journals: %s', (_, folders, workers, expected) => {
  using data = temporaryFolder()
  for (const name of folders) mkdirSync(join(data.path, name))
  const found = findOrphanedJournals(data.path, workers)
  expect(found.map((path) => relative(data.path, path))).toEqual(expected)
})

test('finds no orphaned journal in a missing folder', () => {
  expect(findOrphanedJournals('/nowhere/at/all', 1)).toEqual([])
})

test('divides the limits of a node among its workers, down to their minimum', () => {
  const { config } = loadConfig({
    ...{ WORKERS: '8', JOURNAL_MAX_BYTES: '8GiB', DATA_DIR: '/data' },
    ...{ CLICKHOUSE_URL: 'http://localhost:8123', REDIS_URL: 'redis://localhost' },
  })
  const share = toShare(config, 3)
  expect(share.dataDir).toBe('/data/worker-3')
  expect(share.JOURNAL_MAX_BYTES).toBe(1024 * mib)
  expect(share.INFLIGHT_REQUESTS_MAX).toBe(512)
  expect(share.INTAKE_BYTES_MAX).toBe(208 * mib) // An eighth could not hold one large body.
  expect(config.dataDir).toBe('/data')
})

test('a worker accepts bodies as large as the node may, also on a node with little memory', () => {
  const { config } = loadConfig({
    ...{ WORKERS: '2', INTAKE_BYTES_MAX: '100MiB', DATA_DIR: '/data' },
    ...{ CLICKHOUSE_URL: 'http://localhost:8123', REDIS_URL: 'redis://localhost' },
  })
  expect(toShare(config, 0).INTAKE_BYTES_MAX).toBe(100 * mib)
})
