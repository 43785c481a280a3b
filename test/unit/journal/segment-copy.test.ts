import { describe, expect, test } from 'bun:test'
import type { StoredRecord } from '../../../src/core/record.ts'
import { readSegment, toSegment } from '../../../src/journal/segment-copy.ts'
import { makeEvent, makeEvents, makeLink } from '../delivery/clickhouse/fixtures.ts'

const journalId = '01234567-89ab-4cde-8f01-23456789abcd'

async function read(segment: Buffer) {
  const { journalId: id, frames } = readSegment(segment)
  const records: StoredRecord[] = []
  for await (const frame of frames) records.push(...frame)
  return { id, records }
}

const toFacts = (records: readonly StoredRecord[]) =>
  records.map((record) => {
    const { offset, kind, route, source, receivedMs, line } = record
    const text = new TextDecoder().decode(line)
    return { offset, kind, route, source, receivedMs, text, ...record.head() }
  })

describe('a copy of records as a segment', () => {
  test.each([
    ['records in a row', makeEvents(5, 70)],
    ['gaps', [makeEvent(3), makeEvent(4), makeLink(9), makeEvent(12)]],
    [
      'more than a frame',
      makeEvents(3, 0).map((one) =>
        makeEvent(one.offset, { properties: { x: 'y'.repeat(700_000) } }),
      ),
    ],
    ['none', []],
  ])('holds %s as they were', async (_, records) => {
    const found = await read(toSegment(journalId, records))
    expect(found.id).toBe(journalId)
    expect(toFacts(found.records)).toEqual(toFacts(records))
  })

  test('is the same when it is copied again', async () => {
    const segment = toSegment(journalId, makeEvents(4, 7))
    const { records } = await read(segment)
    expect(toSegment(journalId, records).equals(segment)).toBe(true)
  })

  test('tells each byte that was changed, and each end that was cut', async () => {
    const records = [makeEvent(1), makeEvent(5)]
    const segment = toSegment(journalId, records)
    for (let at = 1024; at < segment.length; at += 7) {
      const changed = Buffer.from(segment)
      changed[at]! ^= 1
      await expect(read(changed)).rejects.toThrow(/it is damaged at byte \d+ of/)
      await expect(read(segment.subarray(0, at + 1))).rejects.toThrow('it is damaged')
    }
    expect(() => readSegment(Buffer.alloc(2000))).toThrow('its header is blank')
    expect(() => readSegment(Buffer.from('text'))).toThrow('its header is')
  })
})
