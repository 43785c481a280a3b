import { describe, expect, test } from 'bun:test'
import { readdirSync } from 'node:fs'
import { loadConfig } from '../../../src/config/config.ts'
import { loadFurthestOffset, openCursors } from '../../../src/delivery/cursors.ts'
import { checkSinks, recordSinks } from '../../../src/delivery/switched-off.ts'
import { temporaryFolder } from '../../support/folder.ts'
import { canMount, mountTinyDisk } from '../../support/tiny-disk.ts'
import { makeLog } from './kafka/fixtures.ts'

const both = 'clickhouse,kafka'

/** A journal that is started with changing settings. */
function makeJournal(path: string) {
  const log = makeLog()
  const journal = { id: 'j', firstOffset: 0, endOffset: 0 }
  function start(SINKS: string, more: Record<string, string> = {}): void {
    const environment = { CLICKHOUSE_URL: 'http://x', KAFKA_BROKERS: 'a:9092', SINKS, ...more }
    const { config } = loadConfig(environment)
    checkSinks({ dir: path, journal, config, log })
    withCursors(() => {}) // As the shippers do.
    recordSinks({ dir: path, journalId: journal.id, endOffset: journal.endOffset, config })
  }
  function withCursors<T>(use: (cursors: ReturnType<typeof openCursors>) => T): T {
    const cursors = openCursors({ dir: path, journalId: 'j' })
    try {
      return use(cursors)
    } finally {
      cursors.close()
    }
  }
  return { log, journal, start, withCursors }
}

const lack = (records: number) => `SINKS does not name kafka, which lacks ${records} records`

describe('a sink that is switched off', () => {
  test('has to have all records of the journal', () => {
    using folder = temporaryFolder()
    const { journal, start, withCursors } = makeJournal(folder.path)
    start(both)
    journal.endOffset = 10
    expect(() => start('clickhouse')).toThrow(lack(10))
    withCursors((cursors) => cursors.advance('kafka', 7))
    expect(() => start('clickhouse')).toThrow(lack(3))
    withCursors((cursors) => cursors.advance('kafka', 10))
    start('clickhouse')
    journal.endOffset = 30
    start('clickhouse')
  })

  test('counts only the records that the journal still holds', () => {
    using folder = temporaryFolder()
    const { journal, start } = makeJournal(folder.path)
    start(both)
    Object.assign(journal, { firstOffset: 8, endOffset: 10 })
    expect(() => start('clickhouse')).toThrow(lack(2))
  })

  test('may be told to give its records up, and that is logged', () => {
    using folder = temporaryFolder()
    const { log, journal, start } = makeJournal(folder.path)
    start(both)
    journal.endOffset = 10
    start('clickhouse', { SINKS_ABANDON: 'kafka' })
    expect(log.lines).toContainEqual(
      expect.objectContaining({ level: 'warn', sink: 'kafka', missing: 10 }),
    )
    journal.endOffset = 20
    start('clickhouse')
  })

  test('is a mistake when SINKS_ABANDON does not name a sink', () => {
    using folder = temporaryFolder()
    const { journal, start } = makeJournal(folder.path)
    start(both)
    journal.endOffset = 1
    expect(() => start('clickhouse', { SINKS_ABANDON: 's3' })).toThrow('SINKS_ABANDON "s3"')
  })

  test('goes on at its cursor when it is switched on again', () => {
    using folder = temporaryFolder()
    const { log, journal, start, withCursors } = makeJournal(folder.path)
    start(both)
    journal.endOffset = 10
    withCursors((cursors) => cursors.advance('kafka', 10))
    start('clickhouse')
    journal.endOffset = 20
    start(both)
    expect(withCursors((cursors) => cursors.offset('kafka'))).toBe(10)
    expect(log.lines.at(-1)).toMatchObject({ level: 'info', sink: 'kafka', from: 10, missing: 0 })
    expect(() => start('clickhouse')).toThrow(lack(10))
  })

  test('says how many records it has missed when it is switched on again', () => {
    using folder = temporaryFolder()
    const { log, journal, start, withCursors } = makeJournal(folder.path)
    start(both)
    journal.endOffset = 10
    withCursors((cursors) => cursors.advance('kafka', 10))
    start('clickhouse')
    Object.assign(journal, { firstOffset: 15, endOffset: 20 })
    start(both)
    expect(log.lines.at(-1)).toMatchObject({ level: 'warn', sink: 'kafka', from: 15, missing: 5 })
  })

  test('of a time before this was recorded does not stop the start', () => {
    using folder = temporaryFolder()
    const { log, journal, start, withCursors } = makeJournal(folder.path)
    withCursors((cursors) => cursors.advance('kafka', 3))
    journal.endOffset = 10
    start('clickhouse')
    expect(log.lines.at(-1)).toMatchObject({ level: 'warn', sink: 'kafka', missing: 7 })
    start('clickhouse')
  })

  test('that was never on is not mentioned', () => {
    using folder = temporaryFolder()
    const { log, journal, start } = makeJournal(folder.path)
    start('clickhouse')
    journal.endOffset = 10
    start('clickhouse')
    expect(log.lines).toEqual([])
  })

  test('does not move the offsets of the journal', () => {
    using folder = temporaryFolder()
    const { journal, start, withCursors } = makeJournal(folder.path)
    start(both)
    journal.endOffset = 10
    withCursors((cursors) => cursors.advance('kafka', 10))
    start('clickhouse')
    expect(loadFurthestOffset(folder.path)).toBe(10)
  })

  test('is checked without a write', () => {
    using folder = temporaryFolder()
    const { config } = loadConfig({ CLICKHOUSE_URL: 'http://x' })
    const journal = { id: 'j', firstOffset: 0, endOffset: 0 }
    checkSinks({ dir: folder.path, journal, config, log: makeLog() })
    expect(readdirSync(folder.path)).toEqual([])
  })

  test.skipIf(!canMount)('can be switched on a full disk', () => {
    using disk = mountTinyDisk(1024 * 1024)
    const { journal, start, withCursors } = makeJournal(disk.path)
    withCursors(() => {})
    disk.fill()
    start(both)
    journal.endOffset = 10
    withCursors((cursors) => cursors.advance('kafka', 10))
    start('clickhouse')
    start(both)
  })
})
