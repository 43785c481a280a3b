import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { kindNumbers, routeNumbers, sourceNumbers } from '../../../src/core/event.ts'
import type { JournalRecord } from '../../../src/core/record.ts'
import { createBlock } from '../../../src/journal/block.ts'
import { createRecordCursor, toRecords } from '../../../src/journal/record-codec.ts'
import { toLine } from '../../support/line.ts'
import { toRecord } from './support.ts'

/** Any text but lone surrogates, which have no UTF-8. */
const text = fc.string({ unit: 'binary' })
const dedupKey = fc
  .uint8Array({ minLength: 16, maxLength: 16 })
  .map((bytes) => Buffer.from(bytes).toString('hex'))
const record: fc.Arbitrary<JournalRecord> = fc.record({
  kind: fc.constantFrom('event', 'recording', 'link', 'dead_letter'),
  route: fc.constantFrom('main', 'overflow', 'historical'),
  source: fc.constantFrom('capture', 'telemetry', 'report', 'link'),
  uuid: fc.uuid(),
  dedupKey: fc.option(dedupKey, { nil: undefined }),
  payloadKey: fc.option(dedupKey, { nil: undefined }),
  event: text,
  key: text,
  receivedMs: fc.nat({ max: Number.MAX_SAFE_INTEGER }),
  line: fc.oneof(
    text,
    fc.array(fc.oneof(text, fc.constant('漢'.repeat(1500)))),
    fc.integer({ min: 4000, max: 5000 }).map((length) => '漢'.repeat(length)),
  ),
})

test('reads a record as it was written, with a newline behind its line', () => {
  fc.assert(
    fc.property(fc.array(record, { minLength: 1 }), fc.nat(), (records, firstOffset) => {
      const block = createBlock()
      block.add(records)
      const stored = toRecords({ firstOffset, count: records.length, bytes: block.copyPayload() })
      const readBack = stored.map(({ kind, route, source, receivedMs, line, head }, index) => ({
        ...{ kind, route, source, receivedMs },
        ...head.call(stored[index]),
        line: Buffer.from(line).toString().slice(0, -1),
        end: line.at(-1),
        offset: stored[index]!.offset - index,
      }))
      const written = records.map((one) => ({ ...one, line: toLine(one) }))
      expect(readBack).toEqual(written.map((one) => ({ ...one, end: 10, offset: firstOffset })))
    }),
  )
})

test.each([
  ['kind', 16, { event: 0, recording: 1, link: 2, dead_letter: 3 }],
  ['route', 17, { main: 0, overflow: 1, historical: 2 }],
  ['source', 18, { capture: 0, telemetry: 1, report: 2, link: 3 }],
] as const)('stores each %s as its number, at byte %d of a record', (field, at, numbers) => {
  expect({ kind: kindNumbers, route: routeNumbers, source: sourceNumbers }[field]).toEqual(numbers)
  for (const [name, number] of Object.entries(numbers)) {
    const block = createBlock()
    block.add([{ ...toRecord('a'), [field]: name }])
    const bytes = block.copyPayload()
    expect(bytes[at]).toBe(number)
    expect(toRecords({ firstOffset: 0, count: 1, bytes })[0]![field]).toBe(name as never)
  }
})

test.each([
  ['kind', 16],
  ['route', 17],
  ['source', 18],
] as const)('refuses to read a record whose %s a newer version wrote', (field, at) => {
  const block = createBlock()
  block.add([toRecord('a')])
  const bytes = block.copyPayload()
  bytes[at] = 9
  const read = () => toRecords({ firstOffset: 7, count: 1, bytes })[0]![field]
  expect(read).toThrow(`journal record 7 has the unknown ${field} 9: a newer version wrote it`)
})

test('a cursor begins at any offset of its block and ends with the block', () => {
  const block = createBlock()
  block.add(['a', 'b', 'c'].map((name) => toRecord(name)))
  const committed = { firstOffset: 7, count: 3, bytes: block.copyPayload() }
  const cursor = createRecordCursor(committed, 9)
  expect(cursor.next().head().event).toBe('c')
  expect(cursor.nextLineBytes).toBe(0)
  expect(() => cursor.next()).toThrow(RangeError)
  expect(createRecordCursor(committed, 10).nextLineBytes).toBe(0)
})

test.each([
  ['too few digits', 'ab'],
  ['too many digits', 'ab'.repeat(20)],
  ['other characters', `${'ab'.repeat(15)}g0`],
])('rejects a dedup key of %s instead of 32 hex digits, with its whole request', (_, dedupKey) => {
  const block = createBlock()
  block.add([toRecord('a')])
  const { count, frameBytes } = block
  expect(() => block.add([toRecord('b'), { ...toRecord('c'), dedupKey }])).toThrow(TypeError)
  expect({ count, frameBytes }).toEqual({ count: block.count, frameBytes: block.frameBytes })
})

test('stores a lone surrogate as U+FFFD', () => {
  const block = createBlock()
  block.add([{ ...toRecord('a'), event: '\ud83e', key: '\udd8a:ü' }, toRecord('b')])
  const [first, second] = toRecords({ firstOffset: 0, count: 2, bytes: block.copyPayload() })
  expect(first!.head()).toMatchObject({ event: '\ufffd', key: '\ufffd:ü' })
  expect(Buffer.from(first!.line).toString()).toBe('{"name":"a"}\n')
  expect(second!.head().event).toBe('b')
})
