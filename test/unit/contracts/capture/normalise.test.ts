import { describe, expect, test } from 'bun:test'
import type { ErrorCode } from '../../../../src/core/errors.ts'
import type { EventRow } from '../../../../src/core/event.ts'
import { capture, captureOne, type Run, receivedMs, token } from './capture-request.ts'

const { rawJSON } = JSON as unknown as { rawJSON(text: string): unknown }
const large = rawJSON('12345678901234567890')
const uuid = '0192f0c1-2b3c-7d4e-8f50-617283940a1b'
const sound = {
  token,
  event: 'signed up',
  distinct_id: 'user-1',
  uuid,
  timestamp: '2026-01-01T11:59:00Z',
  properties: { plan: 'scale', $lib: 'web', $session_id: 'session-1' },
}
const rowOf = (changes: object = {}, run: Run = {}) => captureOne({ ...sound, ...changes }, run).row

describe('a row:', () => {
  test.each<[keyof EventRow, unknown]>([
    ['uuid', uuid],
    ['project', token],
    ['source', 'capture'],
    ['event', 'signed up'],
    ['distinct_id', 'user-1'],
    ['session_id', 'session-1'],
    ['timestamp', receivedMs - 60_000],
    ['received_at', receivedMs],
    ['ip', '198.51.100.1'],
    ['user_agent', 'posthog-node/5'],
    ['library', 'web'],
    ['properties', '{"plan":"scale","$lib":"web","$session_id":"session-1"}'],
    ['user', '{}'],
    ['historical', false],
  ])('%s is %p', (column, expected) => {
    const row = rowOf({}, { headers: { 'User-Agent': 'posthog-node/5' } })
    expect(row[column]).toBe(expected as never)
  })

  test('has its columns in the order of the line', () => {
    expect(Object.keys(rowOf())).toEqual([
      ...['uuid', 'project', 'source', 'event', 'distinct_id', 'session_id', 'timestamp'],
      ...['received_at', 'ip', 'user_agent', 'library', 'properties', 'user', 'historical'],
    ])
  })

  test.each<[string, keyof EventRow, object, unknown]>([
    ['no session', 'session_id', { properties: {} }, ''],
    ['a session that is no string', 'session_id', { properties: { $session_id: 5 } }, ''],
    ['no library', 'library', { properties: { $lib: null } }, ''],
    ['no properties', 'properties', { properties: undefined }, '{}'],
    ['null properties', 'properties', { properties: null }, '{}'],
    [
      'a library as long as a book',
      'library',
      { properties: { $lib: 'x'.repeat(999) } },
      'x'.repeat(200),
    ],
    ['its own ip', 'ip', { ip: '203.0.113.7', properties: { $ip: '203.0.113.8' } }, '203.0.113.7'],
    ['an ip property', 'ip', { ip: null, properties: { $ip: '203.0.113.8' } }, '203.0.113.8'],
    ['an empty ip', 'ip', { ip: '', properties: { $ip: '' } }, '198.51.100.1'],
    ['an ip that is none', 'ip', { ip: 5, properties: { $ip: [] } }, '198.51.100.1'],
    [
      'an uncorrected clock',
      'timestamp',
      { sent_at: '2026-01-01T13:00:00Z' },
      receivedMs - 3_660_000,
    ],
    [
      'a clock it vouches for',
      'timestamp',
      { sent_at: '2026-01-01T13:00:00Z', properties: { $ignore_sent_at: true } },
      receivedMs - 60_000,
    ],
    ['an offset', 'timestamp', { offset: 250 }, receivedMs - 250],
  ])('of an event with %s has the right %s', (_, column, changes, expected) => {
    expect(rowOf(changes)[column]).toBe(expected as never)
  })

  test.each([
    ['?sent_at', `sent_at=${receivedMs + 3_600_000}`],
    ['?_', `_=${receivedMs + 3_600_000}`],
  ])('corrects the clock by %s', (_, query) => {
    expect(rowOf({}, { query }).timestamp).toBe(receivedMs - 3_660_000)
  })

  test('keeps large numbers and unusual keys as sent', () => {
    const properties = JSON.parse('{"__proto__":{"a":1},"constructor":2,"toString":"x"}')
    properties.id = large
    expect(rowOf({ properties }).properties).toBe(
      '{"__proto__":{"a":1},"constructor":2,"toString":"x","id":12345678901234567890}',
    )
    expect(({} as { a?: unknown }).a).toBeUndefined()
  })
})

describe('distinct_id', () => {
  test.each<[string, object, string]>([
    ['of the root', { distinct_id: 'a', $distinct_id: 'b', properties: { distinct_id: 'c' } }, 'a'],
    ['as $distinct_id', { distinct_id: null, $distinct_id: 'b' }, 'b'],
    ['of the properties', { distinct_id: '', properties: { distinct_id: 'c' } }, 'c'],
    ['that is a number', { distinct_id: 42 }, '42'],
    ['that is zero', { distinct_id: 0 }, '0'],
    ['that is false', { distinct_id: false }, 'false'],
    ['that is an object', { distinct_id: { id: [1] } }, '{"id":[1]}'],
    ['that is a large number', { distinct_id: large }, '12345678901234567890'],
    ['of 200 characters', { distinct_id: 'x'.repeat(200) }, 'x'.repeat(200)],
    ['of more is cut', { distinct_id: 'x'.repeat(201) }, 'x'.repeat(200)],
    ['is cut between characters', { distinct_id: '🦊'.repeat(201) }, '🦊'.repeat(200)],
    ['has no lone surrogate', { distinct_id: 'a\ud800' }, 'a\ufffd'],
    ['keeps NUL', { distinct_id: 'a\u0000' }, 'a\u0000'],
  ])('%s', (_, changes, expected) => {
    const { row, key } = captureOne({ ...sound, ...changes })
    expect(row.distinct_id).toBe(expected)
    expect(key).toBe(`${token}:${expected}`)
  })
})

describe('user', () => {
  test.each<[string, object, unknown]>([
    ['comes from the root', { $set: { a: 1 } }, { $set: { a: 1 } }],
    ['comes from the properties', { properties: { $set: { a: 1 } } }, { $set: { a: 1 } }],
    [
      'takes each from where it is',
      { $set: { a: 1 }, properties: { $set: { b: 2 }, $set_once: { c: 3 } } },
      { $set: { a: 1 }, $set_once: { c: 3 } },
    ],
    ['has only objects', { $set: 'a', $set_once: [1] }, {}],
    ['skips what is no object', { $set: 5, properties: { $set: { b: 2 } } }, { $set: { b: 2 } }],
  ])('%s', (_, changes, expected) => {
    expect(JSON.parse(rowOf(changes).user)).toEqual(expected)
  })
})

describe('an event is rejected', () => {
  test.each<[string, ErrorCode, unknown]>([
    ['that is null', 'invalid_event', null],
    ['that is a number', 'invalid_event', 5],
    ['that is an array', 'invalid_event', [sound]],
    ['without a name', 'missing_event_name', { ...sound, event: undefined }],
    ['with a null name', 'missing_event_name', { ...sound, event: null }],
    ['with an empty name', 'missing_event_name', { ...sound, event: '' }],
    ['with a name that is no string', 'invalid_event', { ...sound, event: {} }],
    ['with a name of 201 characters', 'event_name_too_long', { ...sound, event: 'x'.repeat(201) }],
    ['without a distinct_id', 'missing_distinct_id', { ...sound, distinct_id: undefined }],
    ['with an empty one', 'missing_distinct_id', { ...sound, distinct_id: '' }],
    ['with properties in a string', 'invalid_properties', { ...sound, properties: '{}' }],
    ['with properties in an array', 'invalid_properties', { ...sound, properties: [1] }],
    ['with a number for them', 'invalid_properties', { ...sound, properties: large }],
  ])('%s, and the other events of the batch are not', (_, code, bad) => {
    const { events, rejections } = capture([sound, bad, { ...sound, uuid: undefined }])
    expect(events.length).toBe(2)
    expect(rejections).toEqual([{ index: 1, code, message: expect.stringMatching(/\w/), raw: bad }])
  })

  const ofBytes = (bytes: number) => {
    const empty = JSON.stringify({ ...sound, properties: { filler: '' } }).length
    return { ...sound, properties: { filler: 'x'.repeat(bytes - empty) } }
  }
  test('that exceeds 2 MiB of JSON', () => {
    const limit = 2 * 1024 * 1024
    expect(capture(ofBytes(limit + 1)).rejections[0]?.code).toBe('event_too_large')
    expect(capture(ofBytes(limit)).rejections).toEqual([])
    const { events, rejections } = capture([ofBytes(limit + 1), sound, ofBytes(limit)])
    expect(rejections.map(({ index, code }) => [index, code])).toEqual([[0, 'event_too_large']])
    expect(events.length).toBe(2)
  })

  test('by bytes, not characters', () => {
    const properties = { filler: '件'.repeat(800_000) }
    expect(capture({ ...sound, properties }).rejections[0]?.code).toBe('event_too_large')
  })
})

test('accepts names of 200 characters, and counts an emoji as one', () => {
  expect(rowOf({ event: 'x'.repeat(200) }).event.length).toBe(200)
  expect(rowOf({ event: '🦊'.repeat(200) }).event).toBe('🦊'.repeat(200))
  expect(rowOf({ event: 'a\udc00' }).event).toBe('a\ufffd')
})

describe('/engage', () => {
  const person = { $token: token, $distinct_id: 'user-1', $set: { name: 'Ada' } }
  test.each([undefined, null, ''])('stores an event named %p as $identify', (event) => {
    const { row } = captureOne({ ...person, event }, { path: '/engage' })
    expect([row.event, row.distinct_id, row.user]).toEqual([
      '$identify',
      'user-1',
      '{"$set":{"name":"Ada"}}',
    ])
  })

  test('keeps a given name, and other paths require one', () => {
    expect(captureOne({ ...person, event: 'e' }, { path: '/engage' }).row.event).toBe('e')
    expect(capture(person, { path: '/track' }).rejections[0]?.code).toBe('missing_event_name')
  })
})

test('drops $performance_event without an error', () => {
  const { events, rejections, dropped } = capture([{ token, event: '$performance_event' }, sound])
  expect([events.length, rejections.length, dropped]).toEqual([1, 0, 1])
})

test.each([
  ['$exception', 'exceptions'],
  ['$pageview', 'events'],
])('counts %s in the category %s', (event, category) => {
  expect(captureOne({ ...sound, event }).category).toBe(category as never)
})

test('sends a historical migration to its own topic and marks its rows', () => {
  const batch = { token, batch: [sound], historical_migration: true }
  const event = captureOne(batch)
  expect([event.route, event.row.historical]).toEqual(['historical', true])
  const now = captureOne({ ...batch, historical_migration: 'yes' })
  expect([now.route, now.row.historical]).toEqual(['main', false])
  const skewed = captureOne({ ...batch, sent_at: '2026-01-01T13:00:00Z' })
  expect(skewed.row.timestamp).toBe(receivedMs - 60_000)
})

describe('the example of the contract', () => {
  const properties = { distinct_id: '用户标识', token: 'phc_x', key1: 'value1' }
  test('of a single event', () => {
    const { row } = captureOne({
      event: '事件名称',
      properties,
      timestamp: '2024-03-21T12:00:00Z',
      uuid: '事件唯一标识',
      distinct_id: '用户标识',
      ip: '用户IP',
    })
    expect(row).toMatchObject({
      event: '事件名称',
      distinct_id: '用户标识',
      ip: '用户IP',
      timestamp: Date.parse('2024-03-21T12:00:00Z'),
      uuid: expect.stringMatching(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/),
    })
    // The example has a text in place of a uuid.
    const warning = { kind: 'uuid_replaced', field: 'uuid', value: '事件唯一标识' }
    expect(JSON.parse(row.properties)).toEqual({ ...properties, $ingest_warnings: [warning] })
  })

  test('of an array of events', () => {
    const times = ['2024-03-21T12:00:00Z', '2024-03-21T12:01:00Z']
    const array = times.map((timestamp, n) => ({
      event: `事件名称${n + 1}`,
      properties,
      timestamp,
    }))
    const { events } = capture(array)
    expect(events.map(({ row }) => [(row as EventRow).event, (row as EventRow).timestamp])).toEqual(
      [
        ['事件名称1', Date.parse(times[0]!)],
        ['事件名称2', Date.parse(times[1]!)],
      ],
    )
  })

  test('of a batch', () => {
    const batch = [1, 2].map((n) => ({ event: `事件名称${n}`, properties }))
    const { events } = capture({ token, batch, historical_migration: false })
    expect(events.map(({ row }) => (row as EventRow).timestamp)).toEqual([receivedMs, receivedMs])
  })
})

test('an empty array of PHP is an empty object', () => {
  const event = captureOne({ ...sound, properties: [] }, { headers: { Token: token } })
  expect(event.row.properties).toBe('{}')
})
