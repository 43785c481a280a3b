import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { toDeadLetter, toRecord } from '../../../src/contracts/encode.ts'
import { normaliseLink } from '../../../src/contracts/link/normalise.ts'
import type { EventRow, LinkRow, RecordingRow } from '../../../src/core/event.ts'
import { deadLetterRawBytesMax } from '../../../src/core/limits.ts'
import { type StoredRecord, toEncodedRecord, toStoredLine } from '../../../src/core/record.ts'
import { toLine } from '../../support/line.ts'
import { receivedMs, toRequest } from './capture/capture-request.ts'

const uuid = '0192f0c1-2b3c-7d4e-8f50-617283940a1b'
const routed = { route: 'main', category: 'events', key: 'p:u', dedupKey: undefined } as const

const event: EventRow = {
  uuid,
  project: 'p',
  source: 'report',
  event: 'e',
  distinct_id: 'u',
  session_id: 's',
  timestamp: receivedMs - 1,
  received_at: receivedMs,
  ip: '198.51.100.1',
  user_agent: 'agent',
  library: 'web',
  properties: '{"id":12345678901234567890,"price":2.50}',
  user: '{"$set":{"a":1}}',
  historical: false,
}
const toEvent = (changes: Partial<EventRow>) =>
  toRecord({ kind: 'event', row: { ...event, ...changes }, ...routed })

const word = fc.constantFrom('', 'a', 'b')

const recording: RecordingRow = {
  uuid,
  project: 'p',
  session_id: 's',
  distinct_id: 'u',
  window_id: 'w',
  snapshot_source: 'web',
  timestamp: receivedMs,
  received_at: receivedMs,
  ip: '198.51.100.1',
  user_agent: 'agent',
  library: 'web',
  chunk: 2,
  chunks: 3,
  ingest_warnings: '[]',
  snapshot_items: '"[\\"\\ud800"',
}

/** A link event with the columns that `changes` gives. */
function toLink(changes: Partial<LinkRow> = {}) {
  const [blank] = normaliseLink(toRequest(), {
    ...{ event: { event_type: 'click', ip_address: '203.0.113.7', project_id: 'p' } },
    eventId: uuid,
  }).events
  return toRecord({ kind: 'link', row: { ...(blank!.row as LinkRow), ...changes }, ...routed })
}

const link = {
  uuid,
  received_at: receivedMs,
  event_id: 'a "b"\n',
  event_type: 'click',
  event_time: receivedMs - 500,
  event_attributes: '{"a":"\\uD800","b":[1.50]}',
  link_created_at: -1,
  link_expires_at: null,
  link_tags: ['x', '\ud800'],
  project_id: 'p',
  time_spent_sec: 1.5,
  is_bounce: false,
} satisfies Partial<LinkRow>

describe('the line of an event', () => {
  test('has the columns in the order of the table, with JSON copied unchanged', () => {
    expect(toLine(toEvent({}))).toBe(
      `{"uuid":"${uuid}","project":"p","source":"report","event":"e","distinct_id":"u",` +
        `"session_id":"s","timestamp":"2026-01-01T11:59:59.999Z",` +
        `"received_at":"2026-01-01T12:00:00.000Z","ip":"198.51.100.1","user_agent":"agent",` +
        `"library":"web","properties":{"id":12345678901234567890,"price":2.50},` +
        `"user":{"$set":{"a":1}},"historical":false}`,
    )
  })

  test('is in a record with the fields that shippers need', () => {
    const { line, ...head } = toRecord({
      ...{ kind: 'event', row: event, route: 'overflow', category: 'events' },
      ...{ key: 'p:u', dedupKey: 'f'.repeat(32) },
    })
    expect(toLine({ line })).toStartWith('{')
    expect(head).toEqual({
      ...{ kind: 'event', route: 'overflow', source: 'report', uuid, dedupKey: 'f'.repeat(32) },
      ...{ event: 'e', key: 'p:u', receivedMs },
    })
  })

  test.each<keyof EventRow>([
    ...(['project', 'event', 'distinct_id', 'session_id', 'ip', 'user_agent', 'library'] as const),
  ])('holds any text in %s', (column) => {
    const text = '"\\\n\u0000\u2028🦊\ud800</script>'
    const line = toLine(toEvent({ [column]: text }))
    expect(line.split('\n').length).toBe(1)
    expect(JSON.parse(line)[column]).toBe(text.toWellFormed())
  })

  test('is in pieces that never split a surrogate pair', () => {
    const text = fc.string({ unit: fc.constantFrom('\ud83e', '\udd8a', '"', 'a', '🦊') })
    const columns = { project: text, event: text, distinct_id: text, session_id: text }
    const json = fc.record({ a: text }).map((value) => JSON.stringify(value))
    fc.assert(
      fc.property(fc.record({ ...columns, properties: json, user: json }), (changes) => {
        const pieces = [toEvent(changes).line as readonly string[]].flat()
        expect(pieces.length).toBeGreaterThan(1)
        expect(pieces.filter((piece) => !piece.isWellFormed())).toEqual([])
      }),
    )
  })

  test('has the values of its own row after any rows before it', () => {
    const row = fc.record({
      source: fc.constantFrom('capture', 'telemetry', 'report'),
      received_at: fc.constantFrom(receivedMs, receivedMs + 1),
      historical: fc.boolean(),
      user: fc.constantFrom('{}', '{"$set":{"a":1}}'),
      ...{ project: word, ip: word, user_agent: word, library: word },
    })
    fc.assert(
      fc.property(fc.array(row, { maxLength: 20 }), (rows) => {
        for (const changes of rows) {
          const { received_at, user, ...same } = changes
          const times = { received_at: new Date(received_at).toISOString() }
          const read = JSON.parse(toLine(toEvent(changes)))
          expect(read).toMatchObject({ ...same, ...times, user: JSON.parse(user) })
        }
      }),
    )
  })

  test('replaces each lone surrogate in JSON by U+FFFD, and keeps the text \\ud800', () => {
    const value = { '\udc00': ['\ud800', '\\ud800', '🦊'] }
    const line = toLine(toEvent({ properties: JSON.stringify(value), user: JSON.stringify(value) }))
    const { properties, user } = JSON.parse(line)
    expect(properties).toEqual({ '\ufffd': ['\ufffd', '\\ud800', '🦊'] })
    expect(user).toEqual(properties)
  })
})

test('the line of a recording keeps the bytes of its snapshots and repairs the other text', () => {
  const row = { ...recording, window_id: '\ud800' }
  const record = toRecord({ kind: 'recording', row, ...routed, category: 'recordings', key: 's' })
  const line = toLine(record)
  expect(Object.keys(JSON.parse(line))).toEqual(Object.keys(recording))
  expect(line).toContain('"window_id":"\ufffd"')
  expect(line).toEndWith(
    '"chunk":2,"chunks":3,"ingest_warnings":[],"snapshot_items":"[\\"\\ud800"}',
  )
  expect(record).toMatchObject({
    source: 'capture',
    event: '$snapshot_items',
    key: 's',
    receivedMs,
  })
})

test('the line of a link event has all columns in order, times as ISO 8601, attributes as JSON', () => {
  const [blank] = normaliseLink(toRequest(), {
    event: { event_type: 'click' },
    eventId: uuid,
  }).events
  const row = { ...(blank!.row as LinkRow), ...link }
  const record = toRecord({ kind: 'link', row, ...routed })
  const line = toLine(record)
  expect(record).toMatchObject({ source: 'link', event: 'click', uuid, receivedMs })
  const read = JSON.parse(line)
  // The line had no such column before enrichment, and has none without it.
  const { is_bot: _, ...written } = blank!.row as LinkRow
  expect(Object.keys(read)).toEqual(Object.keys(written))
  expect(read).toEqual({
    ...row,
    ...{ received_at: '2026-01-01T12:00:00.000Z', event_time: '2026-01-01T11:59:59.500Z' },
    ...{ link_created_at: '1969-12-31T23:59:59.999Z', link_tags: ['x', '\ufffd'] },
    ...{ event_attributes: { a: '\ufffd', b: [1.5] } },
    ...{ link_attributes: {}, user_attributes: {}, team_attributes: {}, ingest_warnings: [] },
    ...{ project_attributes: {}, qr_code_attributes: {} },
  })
  expect(line).toStartWith(`{"uuid":"${uuid}","received_at":"2026-01-01T12:00:00.000Z"`)
  // Numbers in attributes keep their text.
  expect(line).toContain(`"event_attributes":{"a":"\ufffd","b":[1.50]},`)
  const ofBot = toLine(toRecord({ kind: 'link', row: { ...row, is_bot: true }, ...routed }))
  expect(ofBot).toBe(`${line.slice(0, -1)},"is_bot":true}`)
})

describe('a dead letter', () => {
  const toLetter = (raw: unknown) =>
    toDeadLetter({
      rejection: { index: 3, code: 'invalid_event', message: 'an event must be an object', raw },
      project: 'p',
      protocol: 'capture',
      request: toRequest(),
    })

  test('has the reason, the stage and the rejected event', () => {
    const { line, ...head } = toLetter({ a: 1 })
    expect(JSON.parse(toLine({ line }))).toEqual({
      ...{ uuid: head.uuid, project: 'p', protocol: 'capture', stage: 'normalise' },
      ...{ reason: 'invalid_event', detail: 'an event must be an object' },
      ...{ received_at: '2026-01-01T12:00:00.000Z', ip: '198.51.100.1', raw: '{"a":1}' },
    })
    expect(head).toEqual({
      ...{ kind: 'dead_letter', route: 'main', source: 'capture', uuid: expect.any(String) },
      ...{ dedupKey: undefined, event: 'invalid_event', key: 'p', receivedMs },
    })
  })

  test.each([
    ['an event', toEvent({}), '198.51.100.1'],
    ['a link event', toLink(), '203.0.113.7'],
    [
      'a recording',
      toRecord({ kind: 'recording', row: recording, ...routed, category: 'recordings', key: 's' }),
      '198.51.100.1',
    ],
  ])('of %s that a sink refused has its project, address and line', (_, record, ip) => {
    const text = toLine(record)
    const { line, ...head } = record
    const stored: StoredRecord = {
      ...head,
      ...toStoredLine(Buffer.from(`${text}\n`)),
      offset: 7,
      head: () => head,
      encoded: () => toEncodedRecord({ ...head, line: text }),
    }
    const refused = { stage: 'kafka', reason: 'record_too_large', detail: 'too large' } as const
    const letter = toDeadLetter({ record: stored, ...refused, uuid, receivedMs })
    expect(JSON.parse(toLine(letter))).toEqual({
      ...{ uuid, project: 'p', protocol: record.source, ...refused },
      ...{ received_at: '2026-01-01T12:00:00.000Z', ip, raw: text },
    })
    expect(letter).toMatchObject({ kind: 'dead_letter', event: 'record_too_large', key: 'p', uuid })
  })

  test('of a line that is not JSON has no project and no address', () => {
    const line = toStoredLine(Buffer.from('{"project":\n'))
    const head = () => ({ uuid, dedupKey: undefined, event: 'e', key: 'k' })
    const encoded = () => toEncodedRecord({ ...head(), line: '{"project":' })
    const record = { ...line, offset: 7, kind: 'event', route: 'main', source: 'report' } as const
    const letter = toDeadLetter({
      ...{ record: { ...record, receivedMs, head, encoded } },
      ...{ stage: 'clickhouse', reason: 'r', detail: 'd' },
      ...{ uuid, receivedMs },
    })
    expect(JSON.parse(toLine(letter))).toMatchObject({ project: '', ip: '', raw: '{"project":' })
  })

  test.each<[string, unknown, string]>([
    ['nothing', undefined, 'null'],
    ['a lone surrogate', '\ud800', '"\\ud800"'],
    ['quotes and lines', 'a"\n', '"a\\"\\n"'],
  ])('keeps %s as text', (_, raw, expected) => {
    expect(JSON.parse(toLine(toLetter(raw))).raw).toBe(expected)
  })

  test('is cut at its limit, between two characters', () => {
    const { raw } = JSON.parse(toLine(toLetter('🦊'.repeat(100_000))))
    expect(Buffer.byteLength(raw)).toBeLessThanOrEqual(deadLetterRawBytesMax)
    expect(Buffer.byteLength(raw)).toBeGreaterThan(deadLetterRawBytesMax - 4)
    expect(raw.isWellFormed()).toBe(true)
  })
})
