import { describe, expect, test } from 'bun:test'
import { toRecord } from '../../../../src/contracts/encode.ts'
import { parseSmallJson as parseJson } from '../../../../src/ingest/decode/parse-json.ts'
import { toLine } from '../../../support/line.ts'
import { captureOne, type Run, receivedMs, recordAll, token } from './capture-request.ts'

const uuid = '019a0000-0000-7000-8000-000000000001'
const minutesAgo = '2026-01-01T11:59:00Z'
const sound = { token, event: 'e', distinct_id: 'u', uuid, timestamp: minutesAgo }
const longText = `${'a'.repeat(150)}${'z'.repeat(150)}`
const shortened = `${'a'.repeat(100)}…${'z'.repeat(99)}`

function warningsOf(changes: object, run: Run = {}) {
  const { row, altered } = captureOne({ ...sound, ...changes }, run)
  const { $ingest_warnings: warnings } = JSON.parse(row.properties)
  const kinds = warnings?.map(({ kind }: { kind: string }) => kind)
  expect(altered).toEqual(kinds && [...new Set<string>(kinds)])
  return warnings
}

describe('an event has a warning for', () => {
  test.each<[string, string, string, string, object]>([
    ['a time that cannot be read', 'time_unreadable', 'timestamp', 'soon', { timestamp: 'soon' }],
    ['a time that is no time', 'time_unreadable', 'timestamp', '[1]', { timestamp: [1] }],
    [
      'a time before 1970',
      'time_implausible',
      'timestamp',
      '1969-12-31',
      { timestamp: '1969-12-31' },
    ],
    [
      ...(['a time far ahead', 'time_implausible', 'timestamp', '2031-01-01'] as const),
      { timestamp: '2031-01-01' },
    ],
    ['an offset beyond 1970', 'time_implausible', 'offset', '1e+300', { offset: 1e300 }],
    ['an offset that is a text', 'time_unreadable', 'offset', '500', { offset: '500' }],
    ['a time of sending', 'time_unreadable', 'sent_at', 'now', { sent_at: 'now' }],
    ['a long distinct_id', 'text_cut', 'distinct_id', shortened, { distinct_id: longText }],
    ['a long ip', 'text_cut', 'ip', shortened, { ip: longText }],
    ['a long $ip', 'text_cut', '$ip', shortened, { properties: { $ip: longText } }],
    [
      'a long session',
      'text_cut',
      '$session_id',
      shortened,
      { properties: { $session_id: longText } },
    ],
    ['a long library', 'text_cut', '$lib', shortened, { properties: { $lib: longText } }],
    ['a text as uuid', 'uuid_replaced', 'uuid', 'evt 1', { uuid: 'evt 1' }],
    ['a number as uuid', 'uuid_replaced', 'uuid', '7', { uuid: 7 }],
    [
      ...(['a uuid of version 8', 'uuid_replaced', 'uuid'] as const),
      '019a0000-0000-8000-8000-000000000001',
      { uuid: '019a0000-0000-8000-8000-000000000001' },
    ],
    ['$set that is no object', 'field_dropped', '$set', '[1]', { $set: [1] }],
    ['$set_once that is no object', 'field_dropped', '$set_once', 'x', { $set_once: 'x' }],
    [
      ...(['warnings of its own', 'property_replaced', '$ingest_warnings', '"x"'] as const),
      { properties: { $ingest_warnings: ['x'] } },
    ],
  ])('%s', (_, kind, field, value, changes) => {
    const shown = field === '$ingest_warnings' ? '["x"]' : value
    const [first, ...others] = warningsOf(changes)
    expect(first).toEqual({ kind, field, value: shown })
    expect(others).toEqual([])
  })

  test('a number in its exact text', () => {
    const event = parseJson(JSON.stringify(sound).replace('}', ',"offset":123456789012345678901}'))
    expect(captureOne(event).row.properties).toContain('"value":"123456789012345678901"')
  })

  test('the time of sending of its request', () => {
    const expected = [{ kind: 'time_unreadable', field: 'sent_at', value: 'x' }]
    expect(warningsOf({}, { query: 'sent_at=x' })).toEqual(expected)
  })
})

describe('an event has no warning', () => {
  test.each<[string, object, Run]>([
    ['if it is stored as sent', {}, {}],
    ['without times and uuid', { timestamp: undefined, uuid: null }, {}],
    ['for empty ones', { timestamp: '', uuid: '', offset: null }, {}],
    ['for a time of sending that was never set', { sent_at: '0001-01-01T00:00:00Z' }, {}],
    ['for the moment of receipt', { timestamp: new Date(receivedMs).toISOString() }, {}],
    ['for an offset of 0', { timestamp: undefined, offset: 0 }, {}],
    [
      'for a corrected clock',
      { timestamp: '2026-01-01T13:00:00Z' },
      { query: 'sent_at=2026-01-01T13:00:01Z' },
    ],
    ['for another way to write its uuid', { uuid: `{${uuid.toUpperCase()}}` }, {}],
    ['for the nil uuid', { uuid: '00000000-0000-0000-0000-000000000000' }, {}],
    ['for fields that all SDKs send', { type: 'capture', library: 'posthog-python' }, {}],
    ['for an empty PHP array', { $set: [], $set_once: null }, {}],
    ['for texts of the longest length', { distinct_id: '🎉'.repeat(200), ip: 'x'.repeat(200) }, {}],
  ])('%s', (_, changes, run) => {
    expect(warningsOf(changes, run)).toBeUndefined()
  })
})

test('warnings follow the properties, and neither they nor the identity change', () => {
  const properties = { a: 1.5, $session_id: longText }
  const { row, dedupKey } = captureOne({ ...sound, properties, uuid: undefined })
  expect(row.properties).toStartWith(`${JSON.stringify(properties).slice(0, -1)},"$ingest`)
  const clean = captureOne({ ...sound, uuid: undefined })
  expect(dedupKey).toBe(clean.dedupKey)
})

test('events of one request that differ by their warnings only are duplicates', () => {
  const event = { ...sound, uuid: undefined, properties: {}, ip: longText }
  const { dedupKey } = captureOne({ token, batch: [event] })
  expect(dedupKey).toBe(captureOne({ token, batch: [{ ...event, ip: '' }] }).dedupKey)
})

describe('a recording has its warnings in a column', () => {
  const properties = { $session_id: 's-1', $snapshot_data: [{ type: 3 }] }
  const snapshot = {
    token,
    event: '$snapshot',
    distinct_id: 'u',
    timestamp: minutesAgo,
    properties,
  }

  test('that is an array in its line', () => {
    const [event] = recordAll({
      ...{ ...snapshot, uuid: 'x', timestamp: 'soon', distinct_id: longText },
      properties: { ...properties, $window_id: longText, $snapshot_source: longText },
    })
    expect(event!.altered).toEqual(['time_unreadable', 'text_cut', 'uuid_replaced'])
    expect(JSON.parse(toLine(toRecord(event!))).ingest_warnings).toEqual([
      { kind: 'time_unreadable', field: 'timestamp', value: 'soon' },
      { kind: 'text_cut', field: 'distinct_id', value: shortened },
      { kind: 'uuid_replaced', field: 'uuid', value: 'x' },
      { kind: 'text_cut', field: '$window_id', value: shortened },
      { kind: 'text_cut', field: '$snapshot_source', value: shortened },
    ])
  })

  test('that is empty if it is stored as sent', () => {
    const [event] = recordAll(snapshot)
    expect(event!.altered).toBeUndefined()
    expect(toLine(toRecord(event!))).toContain('"ingest_warnings":[],')
  })

  test('that counts once if the recording is cut', () => {
    const large = { ...properties, $snapshot_data: ['x'.repeat(5000)] }
    const events = recordAll(
      { ...snapshot, timestamp: 'soon', properties: large },
      { lineBytesMax: 3000 },
    )
    expect(events.map(({ altered }) => altered)).toEqual([
      ['time_unreadable'],
      undefined,
      undefined,
    ])
  })
})
