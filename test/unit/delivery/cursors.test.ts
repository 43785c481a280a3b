import { describe, expect, test } from 'bun:test'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import {
  loadFurthestOffset,
  openCursors,
  type PendingRange,
} from '../../../src/delivery/cursors.ts'
import { temporaryFolder } from '../../support/folder.ts'
import { canMount, mountTinyDisk } from '../../support/tiny-disk.ts'

const range: PendingRange = { firstOffset: 3, lastOffset: 9, attempt: 'a' }

describe('cursors', () => {
  test('are undefined for a new journal', () => {
    using folder = temporaryFolder()
    const cursors = openCursors({ dir: folder.path, journalId: 'j' })
    expect([cursors.offset('kafka'), cursors.pending('kafka')]).toEqual([undefined, undefined])
    cursors.close()
  })

  test('clear the pending range when they advance', () => {
    using folder = temporaryFolder()
    const cursors = openCursors({ dir: folder.path, journalId: 'j' })
    cursors.begin('clickhouse', range)
    expect(cursors.pending('clickhouse')).toEqual(range)
    expect(cursors.offset('clickhouse')).toBeUndefined()
    cursors.advance('clickhouse', 10)
    expect(cursors.pending('clickhouse')).toBeUndefined()
    expect(cursors.offset('clickhouse')).toBe(10)
    cursors.close()
  })

  test.skipIf(!canMount)('can be written for the first time on a full disk', () => {
    using disk = mountTinyDisk(1024 * 1024)
    const cursors = openCursors({ dir: disk.path, journalId: 'j' })
    disk.fill()
    cursors.begin('clickhouse', range)
    cursors.advance('clickhouse', 10)
    cursors.advance('kafka', 7)
    cursors.begin('clickhouse', { ...range, attempt: 'b'.repeat(12) })
    expect([cursors.offset('clickhouse'), cursors.offset('kafka')]).toEqual([10, 7])
    cursors.close()
  })

  test('are separate for each sink and each journal', () => {
    using folder = temporaryFolder()
    const [one, other] = ['one', 'other'].map((journalId) =>
      openCursors({ dir: folder.path, journalId }),
    ) as [ReturnType<typeof openCursors>, ReturnType<typeof openCursors>]
    one.advance('clickhouse', 5)
    other.begin('clickhouse', range)
    expect([one.offset('kafka'), other.offset('clickhouse')]).toEqual([undefined, undefined])
    expect(one.pending('clickhouse')).toBeUndefined()
    one.close()
    other.close()
  })

  test('survive any order of writes and reopens', () => {
    const steps = fc.array(
      fc.oneof(
        fc.record({ do: fc.constant('begin' as const), at: fc.nat(2 ** 50) }),
        fc.record({ do: fc.constant('advance' as const), at: fc.nat(2 ** 50) }),
        fc.record({ do: fc.constant('reopen' as const), at: fc.constant(0) }),
      ),
      { maxLength: 20 },
    )
    fc.assert(
      fc.property(steps, (all) => {
        using folder = temporaryFolder()
        const open = () => openCursors({ dir: folder.path, journalId: 'j' })
        let cursors = open()
        let offset: number | undefined
        let pending: PendingRange | undefined
        for (const step of all) {
          if (step.do === 'begin') {
            pending = { firstOffset: step.at, lastOffset: step.at + 1, attempt: `x${step.at}` }
            cursors.begin('clickhouse', pending)
          } else if (step.do === 'advance') {
            offset = step.at
            pending = undefined
            cursors.advance('clickhouse', offset)
          } else {
            cursors.close()
            cursors = open()
          }
          expect(cursors.offset('clickhouse')).toBe(offset as number)
          expect(cursors.pending('clickhouse')).toEqual(pending as PendingRange)
        }
        cursors.close()
        const furthest = Math.max(offset ?? 0, (pending?.lastOffset ?? -1) + 1)
        expect(loadFurthestOffset(folder.path)).toBe(furthest)
      }),
      { numRuns: 30 },
    )
  })

  test('report the furthest offset of any sink and any journal', () => {
    using folder = temporaryFolder()
    expect(loadFurthestOffset(folder.path)).toBe(0)
    const old = openCursors({ dir: folder.path, journalId: 'old' })
    old.advance('kafka', 700)
    old.advance('clickhouse', 500)
    old.begin('clickhouse', { firstOffset: 500, lastOffset: 899, attempt: 'a' })
    old.close()
    expect(loadFurthestOffset(folder.path)).toBe(900)
  })

  test('throw when their file is not a database', () => {
    using folder = temporaryFolder()
    writeFileSync(join(folder.path, 'cursors.sqlite'), 'not a database at all'.repeat(100))
    expect(() => openCursors({ dir: folder.path, journalId: 'j' })).toThrow(/not a database/)
  })
})
