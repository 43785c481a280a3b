import { describe, expect, test } from 'bun:test'
import { createJournalWindow } from '../../../src/journal/recent-records.ts'
import { encodeBlock } from '../delivery/block-fixtures.ts'

const limits = { bytesMax: 1_000_000, recordsMax: 1000 }
const open = (endOffset = 0) =>
  createJournalWindow({ bytesMax: 1_000_000, blocksMax: 100, endOffset })
const offsets = (records: readonly { offset: number }[] | undefined) =>
  records?.map(({ offset }) => offset)

describe('the window on the journal', () => {
  test('shows the blocks that were pushed', () => {
    const window = open()
    window.push(encodeBlock(0, 2))
    window.push(encodeBlock(2, 1))
    expect(offsets(window.read(0, limits))).toEqual([0, 1, 2])
    expect(window.endOffset).toBe(3)
  })

  test('sends a reader to the journal for what it does not hold', () => {
    const window = open(5)
    expect(window.read(3, limits)).toBeUndefined()
    expect(window.read(5, limits)).toEqual([])
    window.push(encodeBlock(5, 1))
    expect(window.read(4, limits)).toBeUndefined()
    expect(offsets(window.read(5, limits))).toEqual([5])
  })

  test('never shows what comes behind a gap in place of what is in it', () => {
    const window = open()
    window.push(encodeBlock(0, 2))
    window.skipTo(4)
    expect(window.read(1, limits)).toBeUndefined()
    window.push(encodeBlock(4, 2))
    expect(window.read(2, limits)).toBeUndefined()
    expect(offsets(window.read(4, limits))).toEqual([4, 5])
  })

  test('sees a gap that nobody announced', () => {
    const window = open()
    window.push(encodeBlock(0, 2))
    window.push(encodeBlock(7, 1))
    expect(window.read(2, limits)).toBeUndefined()
    expect(offsets(window.read(7, limits))).toEqual([7])
  })

  test('is not turned back by an end that is known already', () => {
    const window = open()
    window.push(encodeBlock(0, 2))
    window.skipTo(1)
    expect(offsets(window.read(0, limits))).toEqual([0, 1])
  })
})
