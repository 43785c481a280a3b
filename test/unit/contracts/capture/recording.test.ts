import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { toRecord } from '../../../../src/contracts/encode.ts'
import type { ErrorCode } from '../../../../src/core/errors.ts'
import type { RecordingRow } from '../../../../src/core/event.ts'
import { toLine } from '../../../support/line.ts'
import { type Run, receivedMs, record, recordAll, token } from './capture-request.ts'

const { rawJSON } = JSON as unknown as { rawJSON(text: string): unknown }
const uuid = '0192f0c1-2b3c-7d4e-8f50-617283940a1b'
const toSnapshot = (properties: object = {}, root: object = {}) => ({
  event: '$snapshot',
  properties: { distinct_id: 'u', token, $session_id: 's-1', $snapshot_data: [], ...properties },
  timestamp: '2026-01-01T11:59:00Z',
  ...root,
})
const ofData = ($snapshot_data: unknown, root: object = {}) => toSnapshot({ $snapshot_data }, root)
const one = (value: unknown, run: Run = {}) => {
  const events = recordAll(value, run)
  expect(events.length).toBe(1)
  return events[0]!
}

describe('a recording', () => {
  test('becomes a row with defaults for absent fields', () => {
    expect(one(ofData([{ type: 3 }], { uuid }))).toEqual({
      kind: 'recording',
      route: 'main',
      category: 'recordings',
      key: 's-1',
      dedupKey: expect.stringMatching(/^[0-9a-f]{32}$/),
      row: {
        uuid,
        project: token,
        session_id: 's-1',
        distinct_id: 'u',
        window_id: 's-1',
        snapshot_source: 'web',
        timestamp: receivedMs - 60_000,
        received_at: receivedMs,
        ip: '198.51.100.1',
        user_agent: '',
        library: 'web',
        chunk: 0,
        chunks: 1,
        snapshot_items: '[{"type":3}]',
        ingest_warnings: '[]',
      },
    })
  })

  test.each<[string, keyof RecordingRow, object, string, string]>([
    ['its window', 'window_id', { $window_id: 'w-1' }, '', 'w-1'],
    ['its source', 'snapshot_source', { $snapshot_source: 'mobile' }, '', 'mobile'],
    ['its library', 'library', { $lib: 'js' }, 'posthog-android/3.1', 'js'],
    ['the library of its user agent', 'library', {}, 'posthog-android/3.1 x', 'posthog-android'],
    ['no library of a browser', 'library', {}, 'Mozilla/5.0 posthog', 'web'],
    ['a default for odd types', 'window_id', { $window_id: 5 }, '', 's-1'],
  ])('has %s', (_, column, properties, agent, expected) => {
    const { row } = one(toSnapshot(properties), { headers: { 'User-Agent': agent } })
    expect(row[column]).toBe(expected)
  })

  test('of the example in the contract is stored without snapshots', () => {
    expect(one(toSnapshot()).row.snapshot_items).toBe('[]')
  })

  test('uses sent_at of the event', () => {
    const { row } = one([ofData([], { sent_at: '2026-01-01T13:00:00Z' })])
    expect(row.timestamp).toBe(receivedMs - 3_660_000)
  })

  test.each<[string, ErrorCode, object]>([
    ['without a session', 'missing_session_id', { $session_id: undefined }],
    ['with an empty one', 'missing_session_id', { $session_id: '' }],
    ['with one of 71 characters', 'invalid_session_id', { $session_id: 'x'.repeat(71) }],
    ['with one of other characters', 'invalid_session_id', { $session_id: 'a_b' }],
    ['with one that ends in a line', 'invalid_session_id', { $session_id: 'a\n' }],
    ['with one that is a number', 'invalid_session_id', { $session_id: 5 }],
    ['without data', 'missing_snapshot_data', { $snapshot_data: null }],
    ['with data in a string', 'invalid_snapshot_data', { $snapshot_data: '[]' }],
    ['with a number for data', 'invalid_snapshot_data', { $snapshot_data: 0 }],
    ['with a large one', 'invalid_snapshot_data', { $snapshot_data: rawJSON('9007199254740993') }],
    ['without a distinct_id', 'missing_distinct_id', { distinct_id: null }],
  ])('%s is rejected, and the other events of the batch are not', (_, code, properties) => {
    const { events, rejections } = record([toSnapshot(properties), toSnapshot()])
    expect(rejections.map((rejection) => [rejection.index, rejection.code])).toEqual([[0, code]])
    expect(events.length).toBe(1)
  })

  test('with a session of 70 letters, digits and hyphens is accepted', () => {
    const $session_id = `${'aZ9-'.repeat(17)}ab`
    expect(one(toSnapshot({ $session_id })).row.session_id).toBe($session_id)
  })
})

describe('snapshots of one request', () => {
  test('become one row for each session, in their order, with the columns of the first', () => {
    const events = recordAll([
      ofData([1, 2], { uuid }),
      toSnapshot({ $session_id: 's-2', $snapshot_data: { three: 3 } }),
      toSnapshot({ $snapshot_data: { four: 4 }, distinct_id: 'v', $window_id: 'w' }),
    ])
    expect(events.map(({ row }) => [row.session_id, row.distinct_id, row.snapshot_items])).toEqual([
      ['s-1', 'u', '[1,2,{"four":4}]'],
      ['s-2', 'u', '[{"three":3}]'],
    ])
    expect(events.map(({ row }) => row.window_id)).toEqual(['s-1', 's-2'])
  })

  test('keep every byte: lone surrogates, NUL, large numbers', () => {
    const data = ['\ud800\u0000\u001f\udfff"\\', rawJSON('12345678901234567890'), '🦊']
    const event = one(ofData(data))
    const items = '["\\ud800\\u0000\\u001f\\udfff\\"\\\\",12345678901234567890,"🦊"]'
    expect(event.row.snapshot_items).toBe(items)
    expect(toLine(toRecord(event))).toEndWith(`,"snapshot_items":${items}}`)
  })

  test('may exceed the 2 MB of an event', () => {
    const { row } = one(ofData(['x'.repeat(3_000_000)]))
    expect(row.snapshot_items.length).toBe(3_000_004)
  })

  const run: Run = { lineBytesMax: 2000, headers: { 'User-Agent': 'a "quoted" agent' } }
  const reassemble = (rows: RecordingRow[]) => {
    const text = rows
      .filter(({ chunks }) => chunks > 1)
      .map((row) => JSON.parse(row.snapshot_items))
    const whole = rows
      .filter(({ chunks }) => chunks === 1)
      .map((row) => JSON.parse(row.snapshot_items))
    return [...whole.flat(), ...(text.length > 0 ? JSON.parse(text.join('')) : [])]
  }

  test('are split between snapshots when a line would be too long', () => {
    const data = Array.from({ length: 100 }, (_, n) => ({ n, text: '件'.repeat(n % 40) }))
    const events = recordAll([ofData(data.slice(0, 30)), ofData(data.slice(30))], run)
    expect(events.every(({ row }) => row.chunk === 0 && row.chunks === 1)).toBe(true)
    expect(events.flatMap(({ row }) => JSON.parse(row.snapshot_items))).toEqual(data)
    const lengths = events.map((event) => Buffer.byteLength(toLine(toRecord(event))))
    expect(Math.max(...lengths)).toBeLessThanOrEqual(2000)
    expect(Math.min(...lengths.slice(0, -1))).toBeGreaterThan(1500)
  })

  test('that are too long even alone are cut into numbered chunks', () => {
    const data = ['small', '🦊"\\\u0000\ud800'.repeat(900), { tail: 'x'.repeat(4000) }]
    const rows = recordAll(ofData(data), run).map(({ row }) => row)
    const chunks = rows.filter((row) => row.chunks > 1)
    expect(rows[0]?.snapshot_items).toBe('["small"]')
    expect(chunks.length).toBe(rows.length - 1)
    expect(chunks.map(({ chunk }) => chunk)).toEqual(chunks.map((_, index) => index))
    expect(chunks.every((row) => row.chunks === chunks.length)).toBe(true)
    expect(chunks.every((row) => JSON.parse(row.snapshot_items).isWellFormed())).toBe(true)
    expect(reassemble(rows)).toEqual(data)
  })

  test('fit the line and can be joined again', () => {
    const text = fc.string({ unit: 'binary', size: 'large', maxLength: 3000 })
    const item = fc.oneof(fc.jsonValue(), text)
    fc.assert(
      fc.property(fc.array(item), fc.integer({ min: 1000, max: 3000 }), (data, lineBytesMax) => {
        const events = recordAll(ofData(data), { lineBytesMax })
        const byText = (items: unknown[]) => items.map((item) => JSON.stringify(item)).sort()
        expect(byText(reassemble(events.map(({ row }) => row)))).toEqual(byText(data))
        for (const event of events) {
          expect(Buffer.byteLength(toLine(toRecord(event)))).toBeLessThanOrEqual(lineBytesMax)
        }
      }),
      { numRuns: 200 },
    )
    // Measured: 4 s, and twice as long on a busy machine.
  }, 60_000)

  test('are cut into few chunks at any size', () => {
    const events = recordAll(ofData(['\u0000"'.repeat(2_000_000)]))
    expect(events.length).toBeGreaterThan(3)
    expect(events.length).toBeLessThan(7)
  })
})

describe('the identity of a recording', () => {
  const pair = [ofData([1], { uuid }), ofData([2], { uuid: uuid.replace('1b', '1c') })]
  const dedupKeysOf = (value: unknown, run: Run = {}) =>
    recordAll(value, run).map((e) => e.dedupKey)
  const uuidsOf = (value: unknown, run: Run = {}) =>
    recordAll(value, run).map(({ row }) => row.uuid)

  test('derives from its snapshots, so that a retry has the same', () => {
    expect(dedupKeysOf(pair)).toEqual(dedupKeysOf(structuredClone(pair)))
    expect(uuidsOf(pair)).toEqual(uuidsOf(structuredClone(pair)))
    expect(dedupKeysOf(pair)).not.toEqual(dedupKeysOf(pair.slice(0, 1)))
    expect(dedupKeysOf(pair)).not.toEqual(dedupKeysOf(pair.toReversed()))
  })

  test('is missing if one snapshot has none', () => {
    expect(dedupKeysOf([...pair, ofData([3], { timestamp: undefined })])).toEqual([undefined])
  })

  test('uses only timestamps with DEDUP_IDENTITY=contract', () => {
    const run: Run = { dedupIdentity: 'contract' }
    const other = pair.map((snapshot) => ({ ...snapshot, uuid: crypto.randomUUID() }))
    expect(dedupKeysOf(pair, run)).toEqual(dedupKeysOf(other, run))
  })

  test('differs between sessions and between the rows of a session', () => {
    const large = ofData(
      Array.from({ length: 50 }, () => 'x'.repeat(100)),
      { uuid },
    )
    const dedupKeys = dedupKeysOf([large, toSnapshot({ $session_id: 's-2' }, { uuid })], {
      lineBytesMax: 2000,
    })
    expect(dedupKeys.length).toBeGreaterThan(4)
    expect(new Set(dedupKeys).size).toBe(dedupKeys.length)
  })

  test('uses a client uuid only for the first row of a single snapshot', () => {
    const large = ofData(
      Array.from({ length: 50 }, () => 'x'.repeat(100)),
      { uuid },
    )
    const uuids = uuidsOf(large, { lineBytesMax: 2000 })
    expect(uuids[0]).toBe(uuid)
    expect(new Set(uuids).size).toBe(uuids.length)
    expect(uuidsOf(pair)).not.toContain(uuid)
  })

  test('is the same for a retry from an address of another length', () => {
    const large = ofData(Array(5000).fill(1), { uuid })
    const from = (ip: string) => recordAll({ ...large, ip }, { lineBytesMax: 2000 })
    expect(from('10.0.0.1').map(({ row }) => row.snapshot_items)).toEqual(
      from('203.0.113.117').map(({ row }) => row.snapshot_items),
    )
  })
})
