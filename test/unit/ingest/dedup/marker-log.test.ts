import { expect, test } from 'bun:test'
import { readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { hourMs } from '../../../../src/core/clock.ts'
import type { DedupKey } from '../../../../src/core/event.ts'
import { silentLog } from '../../../../src/core/log.ts'
import {
  createMarkerFiles,
  type MarkerFilesOptions,
} from '../../../../src/ingest/dedup/marker-log.ts'
import {
  createDedupTable,
  dedupKeyBytes,
  readDedupKey,
} from '../../../../src/ingest/dedup/seen-table.ts'
import { temporaryFolder } from '../../../support/folder.ts'
import { until } from '../../../support/until.ts'
import { createTestClock, toDedupKey, toDedupKeys } from '../support.ts'
import { createFaultyDisk } from './faulty-disk.ts'

const words = { a: 0, b: 0, c: 0 }

/** A process from start to end: its table, loaded from the folder, and its files. */
async function start(folder: string, options: Partial<MarkerFilesOptions> = {}) {
  const now = options.now ?? createTestClock().now
  const files = createMarkerFiles({
    folder,
    bytesMax: 1024 * 1024,
    now,
    log: silentLog,
    flushMs: 600_000,
    ...options,
  })
  const table = createDedupTable({ bytesMax: 1024 * 1024, now })
  const loaded = await files.load(table)
  return {
    files,
    loaded,
    has(dedupKey: DedupKey) {
      readDedupKey(dedupKey, words)
      return table.has(words)
    },
    append(dedupKey: DedupKey) {
      table.keepTime()
      readDedupKey(dedupKey, words)
      files.append(words, table.hour)
    },
  }
}

test('a restart knows synced keys', async () => {
  using folder = temporaryFolder()
  const first = await start(folder.path)
  const dedupKeys = toDedupKeys(20_000)
  for (const dedupKey of dedupKeys) first.append(dedupKey)
  await first.files.sync()
  const second = await start(folder.path)
  expect(second.loaded).toBe(20_000)
  expect(dedupKeys.every(second.has)).toBe(true)
  expect(second.has(toDedupKey('another'))).toBe(false)
  await first.files.close()
})

test('a file cut at any byte yields all keys before the cut', async () => {
  using folder = temporaryFolder()
  const first = await start(folder.path)
  const dedupKeys = toDedupKeys(5)
  for (const dedupKey of dedupKeys) first.append(dedupKey)
  await first.files.close()
  const path = join(folder.path, readdirSync(folder.path)[0]!)
  for (let bytes = 5 * dedupKeyBytes; bytes >= 0; bytes -= 1) {
    truncateSync(path, bytes)
    const { has } = await start(folder.path)
    const whole = Math.floor(bytes / dedupKeyBytes)
    expect(dedupKeys.map(has)).toEqual(dedupKeys.map((_, index) => index < whole))
  }
})

test('keys appended after a restart are not misaligned by an incomplete end', async () => {
  using folder = temporaryFolder()
  const first = await start(folder.path)
  first.append(toDedupKey(1))
  await first.files.close()
  truncateSync(join(folder.path, readdirSync(folder.path)[0]!), dedupKeyBytes - 5)
  const second = await start(folder.path)
  second.append(toDedupKey(2))
  await second.files.close()
  const third = await start(folder.path)
  expect([third.has(toDedupKey(1)), third.has(toDedupKey(2))]).toEqual([false, true])
})

test('keys are written after a while, or when 64 KiB have gathered', async () => {
  using folder = temporaryFolder()
  const bytes = () =>
    readdirSync(folder.path).reduce(
      (sum, name) => sum + readFileSync(join(folder.path, name)).length,
      0,
    )
  const soon = await start(folder.path, { flushMs: 5 })
  soon.append(toDedupKey(1))
  await until(() => bytes() === dedupKeyBytes)
  const many = await start(folder.path)
  for (const dedupKey of toDedupKeys(6000)) many.append(dedupKey)
  await until(() => bytes() > 60_000)
  await Promise.all([soon.files.close(), many.files.close()])
})

test('a file is loaded for a day, and then removed', async () => {
  using folder = temporaryFolder()
  const clock = createTestClock()
  const first = await start(folder.path, clock)
  first.append(toDedupKey('first hour'))
  clock.nowMs += 24 * hourMs
  first.append(toDedupKey('a day later'))
  await first.files.close()
  expect((await start(folder.path, clock)).loaded).toBe(2)
  clock.nowMs += hourMs
  const last = await start(folder.path, clock)
  expect(last.has(toDedupKey('first hour'))).toBe(false)
  expect(last.has(toDedupKey('a day later'))).toBe(true)
  expect(readdirSync(folder.path)).toHaveLength(1)
})

test('the folder stays within its limit, and keeps the newest keys', async () => {
  using folder = temporaryFolder()
  const { files, append } = await start(folder.path, { bytesMax: 48_000 })
  for (let round = 0; round < 40; round += 1) {
    for (const dedupKey of toDedupKeys(500, round * 500)) append(dedupKey)
    await files.sync()
  }
  const total = readdirSync(folder.path).reduce(
    (sum, name) => sum + readFileSync(join(folder.path, name)).length,
    0,
  )
  expect(total).toBeLessThan(48_000 * 1.3)
  expect(files.counts().bytes).toBe(total)
  const { has } = await start(folder.path, { bytesMax: 48_000 })
  expect(toDedupKeys(500, 39 * 500).every(has)).toBe(true)
  await files.close()
})

test('leaves foreign files in the folder alone', async () => {
  using folder = temporaryFolder()
  writeFileSync(join(folder.path, 'notes.txt'), 'x')
  expect((await start(folder.path)).loaded).toBe(0)
  expect(readdirSync(folder.path)).toEqual(['notes.txt'])
})

test('a sync rejects if the disk fails, and the keys are kept', async () => {
  const disk = createFaultyDisk()
  const { files, append } = await start('markers', { disk })
  append(toDedupKey(1))
  disk.failNext('datasync')
  await expect(files.sync()).rejects.toThrow('datasync')
  append(toDedupKey(2))
  await files.sync()
  expect(files.counts()).toMatchObject({ failures: 1, unsaved: 0 })
  const { has } = await start('markers', { disk: disk.afterCrash() })
  expect([has(toDedupKey(1)), has(toDedupKey(2))]).toEqual([true, true])
  await files.close()
})

test('after a crash all keys of a resolved sync are known, whichever disk calls failed', async () => {
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('append' as const) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('sync' as const) }) },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant('fail' as const),
        what: fc.constantFrom('create' as const, 'write' as const, 'datasync' as const),
      }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('hour' as const) }) },
  )
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const disk = createFaultyDisk()
      const clock = createTestClock()
      const { files, append } = await start('markers', { disk, now: clock.now })
      let appended = 0
      let promised = 0
      for (const taken of steps) {
        if (taken.kind === 'append') append(toDedupKey(appended++))
        if (taken.kind === 'fail') disk.failNext(taken.what)
        if (taken.kind === 'hour' && appended < 20) clock.nowMs += hourMs
        if (taken.kind !== 'sync') continue
        const isDone = await files.sync().then(
          () => true,
          () => false,
        )
        if (isDone) promised = appended
      }
      const { has } = await start('markers', { disk: disk.afterCrash(), now: clock.now })
      expect(toDedupKeys(promised).filter((dedupKey) => !has(dedupKey))).toEqual([])
      await files.close()
    }),
    { numRuns: 300 },
  )
})

test('drops the oldest keys while the disk fails for long, and counts them', async () => {
  const disk = createFaultyDisk()
  const { files, append } = await start('markers', { disk, flushMs: 600_000 })
  disk.failAlways('write')
  for (const dedupKey of toDedupKeys(100)) append(dedupKey)
  await expect(files.sync()).rejects.toThrow('write')
  const chunkDedupKeys = Math.floor(65_536 / dedupKeyBytes)
  const dedupKey = toDedupKey(1)
  for (let count = 100; count < 512 * chunkDedupKeys; count += 1) append(dedupKey)
  expect(files.counts().unsaved).toBe(0)
  append(dedupKey)
  expect(files.counts().unsaved).toBe(chunkDedupKeys)
  await files.close()
})
