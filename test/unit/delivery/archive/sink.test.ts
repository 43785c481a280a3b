import { describe, expect, test } from 'bun:test'
import { readdirSync } from 'node:fs'
import { readObject } from '../../../../src/delivery/archive/object.ts'
import { createArchiveSink } from '../../../../src/delivery/archive/sink.ts'
import { type ArchiveStore, createFolderStore } from '../../../../src/delivery/archive/store.ts'
import { temporaryFolder } from '../../../support/folder.ts'
import { until } from '../../../support/until.ts'
import {
  instantly,
  makeEvent,
  makeEvents,
  makeLedger,
  makeReport,
  never,
  toBatch,
} from '../clickhouse/fixtures.ts'

const journalId = crypto.randomUUID()

function open(store: ArchiveStore) {
  const [cursors, report] = [makeLedger(), makeReport()]
  const sink = createArchiveSink({ ...instantly, store, journalId, cursors, report })
  return { sink, cursors, report }
}

async function namesIn(store: ArchiveStore): Promise<string[]> {
  const names: string[] = []
  for await (const name of store.list({ from: '', before: '~' })) names.push(name)
  return names
}

const day = Date.parse('2026-11-29T00:00:00Z')
const at = (offset: number, ms: number) => ({ ...makeEvent(offset), receivedMs: day + ms })

describe('the archive as a sink', () => {
  test('writes its range down before it sends an object', async () => {
    using folder = temporaryFolder()
    const { put, ...store } = createFolderStore(folder.path)
    const { sink, cursors } = open({
      ...store,
      async put(name, bytes) {
        expect(cursors.written).toMatchObject([{ firstOffset: 7, lastOffset: 9 }])
        await put(name, bytes)
      },
    })
    await sink.ship(toBatch(makeEvents(3, 7)), never)
    expect(cursors.written).toHaveLength(1)
    await sink.close()
  })

  test('sends a resumed range as the same object', async () => {
    using folder = temporaryFolder()
    const store = createFolderStore(folder.path)
    const { sink } = open(store)
    const batch = toBatch(makeEvents(5))
    await sink.ship(batch, never)
    await sink.resume(batch, never)
    expect(await namesIn(store)).toHaveLength(1)
    await sink.close()
  })

  test('keeps other records under the same range, as a restored journal may have them', async () => {
    using folder = temporaryFolder()
    const store = createFolderStore(folder.path)
    const { sink } = open(store)
    await sink.ship(toBatch([at(1, 5)]), never)
    await sink.ship(toBatch([at(1, 5)]), never)
    expect(await namesIn(store)).toHaveLength(2)
    await sink.close()
  })

  test('puts each day into an object of its own', async () => {
    using folder = temporaryFolder()
    const store = createFolderStore(folder.path)
    const { sink } = open(store)
    const records = [at(1, -2), at(2, 1), at(3, -1), at(4, 2)]
    await sink.ship(toBatch(records), never)
    const names = await namesIn(store)
    const offsets = names.map(async (name) => {
      const content = await readObject(await store.get(name))
      return [name.slice(0, 10), ...content.records.map(({ offset }) => offset)]
    })
    expect(await Promise.all(offsets)).toEqual([
      ['2026-11-28', 1, 3],
      ['2026-11-29', 2, 4],
    ])
    await sink.close()
  })

  test('retries until the store works, and is unhealthy meanwhile', async () => {
    using folder = temporaryFolder()
    const working = createFolderStore(folder.path)
    let isFailing = true
    const { sink, report } = open({
      ...working,
      async check() {},
      async put(name, bytes) {
        if (isFailing) throw new Error('no space')
        await working.put(name, bytes)
      },
    })
    await until(() => sink.isHealthy())
    const shipping = sink.ship(toBatch(makeEvents(2)), never)
    await until(() => report.retries.length > 3)
    expect(sink.isHealthy()).toBe(false)
    isFailing = false
    await shipping
    expect(sink.isHealthy()).toBe(true)
    expect(new Set(report.retries)).toEqual(new Set(['archive_failed']))
    await sink.close()
  })

  test('is unhealthy before the place was reached, and closes without it', async () => {
    using folder = temporaryFolder()
    const { sink, report } = open(createFolderStore(`${folder.path}/missing`))
    await until(() => report.retries.length > 0)
    expect(sink.isHealthy()).toBe(false)
    await sink.close()
    expect(readdirSync(folder.path)).toEqual([])
  })

  test('a store that never answers does not hold the stop', async () => {
    const hung = new Promise<never>(() => {})
    const stopping = new AbortController()
    const { sink } = open({
      put: () => hung,
      get: () => hung,
      list: async function* () {},
      check: () => hung,
    })
    const shipping = sink.ship(toBatch(makeEvents(1)), stopping.signal)
    stopping.abort(new Error('stopping'))
    await expect(shipping).rejects.toThrow('stopping')
    await sink.close()
  })
})
