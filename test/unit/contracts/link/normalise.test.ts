import { describe, expect, test } from 'bun:test'
import { toRecord } from '../../../../src/contracts/encode.ts'
import { normaliseLink } from '../../../../src/contracts/link/normalise.ts'
import { linkProtocol } from '../../../../src/contracts/link/protocol.ts'
import { toRequestError } from '../../../../src/core/errors.ts'
import type { CanonicalEvent, LinkRow } from '../../../../src/core/event.ts'
import { parseSmallJson as parseJson } from '../../../../src/ingest/decode/parse-json.ts'
import { toLine } from '../../../support/line.ts'
import { receivedMs, toRequest } from '../link-report-telemetry.ts'

const headers = { 'user-agent': 'Mozilla/5.0', referer: 'https://example.com/from' }

function track(value: unknown): CanonicalEvent {
  const request = toRequest({ headers })
  const submission = linkProtocol.parse(request, { value, decodedBytes: 2 })
  const { events, refusal } = normaliseLink(request, submission)
  if (refusal) throw toRequestError(refusal)
  return events[0]!
}

const normalise = (event: object) => track({ event_type: 'click', ...event })
const toRow = (event: object) => normalise(event).row as LinkRow
const parsed = (text: string) => track(parseJson(text)).row as LinkRow
const uuid7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

const texts = [
  ...['link_id', 'link_slug', 'link_label', 'link_title', 'link_original_url'],
  ...['user_id', 'user_name', 'user_email', 'team_id', 'team_name', 'project_name'],
  ...['qr_code_id', 'qr_code_name', 'country', 'city', 'device_type', 'browser', 'os'],
  ...['utm_source', 'utm_medium', 'utm_campaign', 'utm_term', 'utm_content', 'conversion_type'],
] as const
const generated = ['visitor_id', 'session_id'] as const
const attributes = [
  ...['event_attributes', 'link_attributes', 'user_attributes', 'team_attributes'],
  ...['project_attributes', 'qr_code_attributes'],
] as const
const times = ['event_time', 'link_created_at', 'link_expires_at'] as const
const numbers = ['time_spent_sec', 'conversion_value'] as const
const flags = ['is_bounce', 'is_qr_scan'] as const

type Field = keyof LinkRow

describe('a link event keeps', () => {
  test.each<[Field, unknown, unknown]>([
    ['event_type', 'conversion', 'conversion'],
    ['event_id', ' my id ', ' my id '],
    ['project_id', 'proj789', 'proj789'],
    ['ip_address', '198.51.100.1', '198.51.100.1'],
    ['user_agent', 'Own/1.0', 'Own/1.0'],
    ['referrer', 'https://example.com/own', 'https://example.com/own'],
    ...texts.map((field): [Field, string, string] => [field, `事件 ${field}`, `事件 ${field}`]),
    ...generated.map((field): [Field, string, string] => [field, 'mine', 'mine']),
    ...times.map((field): [Field, string, number] => [
      field,
      '2025-12-31T23:00:00.500Z',
      Date.parse('2025-12-31T23:00:00.500Z'),
    ]),
    ['link_created_at', '1900-01-01', Date.UTC(1900, 0)],
    ['link_expires_at', '9999-12-31T23:59:59.999Z', Date.parse('9999-12-31T23:59:59.999Z')],
    ['link_expires_at', '2027-01-01 08:00:00+08:00', Date.parse('2027-01-01T00:00:00Z')],
    ...numbers.map((field): [Field, number, number] => [field, 99.99, 99.99]),
    ['time_spent_sec', 0, 0],
    ...flags.flatMap((field): [Field, boolean, boolean][] => [
      [field, true, true],
      [field, false, false],
    ]),
    ['link_tags', ['a', 'b'], ['a', 'b']],
    ['link_tags', '["a", "b"]', ['a', 'b']],
    ['link_tags', [], []],
    ...attributes.flatMap((field): [Field, unknown, string][] => [
      [field, { page: '/checkout' }, '{"page":"/checkout"}'],
      [field, '{"page": "/checkout"}', '{"page": "/checkout"}'],
      [field, '{\r\n\t"page":\n"a\\nb"}', '{   "page": "a\\nb"}'],
      [field, '[1,2]', '[1,2]'],
      [field, '{"n":12345678901234567890}', '{"n":12345678901234567890}'],
      [field, 'null', '{}'],
    ]),
  ])('%s: %j', (field, sent, stored) => {
    expect(toRow({ [field]: sent })[field]).toEqual(stored as never)
  })

  test('large numbers: exactly in attributes, as the nearest double in columns', () => {
    const number = '12345678901234567890'
    const text = `{"event_type":"x","event_attributes":{"n":${number}},"conversion_value":${number}}`
    const { event_attributes, conversion_value } = parsed(text)
    expect(event_attributes).toBe(`{"n":${number}}`)
    expect(conversion_value).toBe(Number(number))
  })
})

describe('an absent field of a link event becomes', () => {
  const defaults: [Field, unknown][] = [
    ['event_time', receivedMs],
    ['project_id', 'default'],
    ['ip_address', '203.0.113.7'],
    ['user_agent', 'Mozilla/5.0'],
    ['referrer', 'https://example.com/from'],
    ['link_created_at', null],
    ['link_expires_at', null],
    ['link_tags', []],
    ['time_spent_sec', 0],
    ['conversion_value', 0],
    ['is_bounce', true],
    ['is_qr_scan', false],
    ['event_id', expect.stringMatching(uuid7)],
    ...generated.map((field): [Field, unknown] => [field, expect.stringMatching(uuid7)]),
    ...texts.map((field): [Field, unknown] => [field, '']),
    ...attributes.map((field): [Field, unknown] => [field, '{}']),
  ]

  test.each(defaults)('%s: %p', (field, expected) => {
    expect(toRow({})[field]).toEqual(expected as never)
    expect(toRow({ [field]: null })[field]).toEqual(expected as never)
    expect(toRow({ [field]: '' })[field]).toEqual(expected as never)
  })

  test('its default if its text is empty, too', () => {
    const empty = { event_id: '', visitor_id: '', session_id: '', project_id: '', ip_address: '' }
    const { event_id, visitor_id, session_id, project_id, ip_address } = toRow(empty)
    for (const id of [event_id, visitor_id, session_id]) expect(id).toMatch(uuid7)
    expect({ project_id, ip_address }).toEqual({ project_id: 'default', ip_address: '203.0.113.7' })
  })

  test('one column for every field of the contract, and those of the server', () => {
    const documented = [
      ...['event_type', 'event_id', 'project_id', 'ip_address', 'user_agent', 'referrer'],
      ...[...texts, ...generated, ...attributes, ...times, ...numbers, ...flags, 'link_tags'],
    ]
    const own = ['received_at', 'uuid', 'ingest_warnings', 'is_bot']
    expect(Object.keys(toRow({})).sort()).toEqual([...documented, ...own].sort())
  })
})

describe('a link event takes', () => {
  const short = [
    ...['event_type', 'event_id', 'project_id', 'visitor_id', 'session_id', 'link_id'],
    ...['user_id', 'user_name', 'team_id', 'team_name', 'project_name', 'qr_code_id'],
    ...['qr_code_name', 'country', 'device_type', 'browser', 'os', 'conversion_type'],
  ]
  const long = [
    ...['ip_address', 'user_agent', 'referrer', 'city', 'user_email'],
    ...['link_slug', 'link_label', 'link_title', 'link_original_url'],
    ...['utm_source', 'utm_medium', 'utm_campaign', 'utm_term', 'utm_content'],
  ]
  test('a limit for every text', () => {
    const all = [...texts, ...generated, 'event_type', 'event_id', 'project_id']
    const others = ['ip_address', 'user_agent', 'referrer']
    expect([...short, ...long].sort()).toEqual([...all, ...others].sort())
  })

  const tags = (bytes: number) => ['x'.repeat(bytes - '[""]'.length)]
  const object = (bytes: number) => ({ a: 'x'.repeat(bytes - '{"a":""}'.length) })
  const kib8 = 8 * 1024
  test.each<[string, unknown, unknown]>([
    ...short.map((field): [string, string, string] => [field, '🎉'.repeat(200), 'x'.repeat(201)]),
    ...long.map((field): [string, string, string] => [field, 'x'.repeat(kib8), 'é'.repeat(4097)]),
    ['link_tags', tags(kib8), tags(kib8 + 1)],
    ['link_tags', JSON.stringify(tags(kib8)), JSON.stringify(tags(kib8 + 1))],
    ...attributes.flatMap((field): [string, unknown, unknown][] => [
      [field, object(kib8), object(kib8 + 1)],
      [field, JSON.stringify(object(kib8)), JSON.stringify(object(kib8 + 1))],
    ]),
  ])('%s up to its limit', (field, longest, tooLong) => {
    expect(toRow({ [field]: longest })[field as Field]).toBeDefined()
    const refused = expect.objectContaining({ code: 'invalid_field', details: { field } })
    expect(() => toRow({ [field]: tooLong })).toThrow(refused)
  })
})

describe('a link event is refused for', () => {
  const nested = `${'['.repeat(201)}${']'.repeat(201)}`
  test.each<[string, unknown]>([
    ['event_type', 5],
    ['event_id', 5],
    ['project_id', {}],
    ['ip_address', 1],
    ['user_agent', []],
    ['referrer', true],
    ...[...texts, ...generated].map((field): [string, unknown] => [field, 7]),
    ...attributes.flatMap((field): [string, unknown][] => [
      [field, 'no JSON'],
      [field, 5],
      [field, true],
      [field, ['a']],
      [field, nested],
    ]),
    ...times.flatMap((field): [string, unknown][] => [
      [field, 'yesterday'],
      [field, '2026-02-30T00:00:00Z'],
      [field, {}],
      [field, 1_700_000_000_000],
    ]),
    ['link_expires_at', '9'.repeat(40)],
    ['link_created_at', '1899-12-31T23:59:59.999Z'],
    ...numbers.flatMap((field): [string, unknown][] => [
      [field, '120'],
      [field, true],
      [field, []],
    ]),
    ...flags.flatMap((field): [string, unknown][] => [
      [field, 'true'],
      [field, 1],
    ]),
    ['link_tags', 'a,b'],
    ['link_tags', '{"a":1}'],
    ['link_tags', ['a', 1]],
    ['link_tags', '["a", null]'],
    ['link_tags', {}],
  ])('%s: %j', (field, sent) => {
    expect(() => normalise({ [field]: sent })).toThrow(
      expect.objectContaining({ code: 'invalid_field', details: { field } }),
    )
  })

  test('a number beyond all doubles', () => {
    const text = '{"event_type":"x","conversion_value":1e400}'
    expect(() => parsed(text)).toThrow('conversion_value')
  })
})

describe('the time of a link event', () => {
  test.each([
    ['just within 23 h ahead', '2026-01-02T11:00:00.000Z', 23 * 3_600_000],
    ['more than 23 h ahead', '2026-01-02T11:00:00.001Z', 0],
    ['at the beginning of 1970', '1970-01-01T00:00:00Z', -receivedMs],
    ['before 1970', '1969-12-31T23:59:59Z', 0],
  ])('%s', (_, event_time, expectedMs) => {
    expect(toRow({ event_time }).event_time - receivedMs).toBe(expectedMs)
  })
})

describe('project and event_id identify a link event', () => {
  const identity = (event: object) => {
    const { row, dedupKey } = normalise(event)
    return { uuid: row.uuid, dedupKey }
  }

  test('duplicates have the same identity whatever their other fields are', () => {
    const first = identity({ event_id: 'e1', project_id: 'p' })
    expect(identity({ event_id: 'e1', project_id: 'p', event_type: 'view' })).toEqual(first)
    expect(first.dedupKey).toMatch(/^[0-9a-f]{32}$/)
    expect(first.uuid).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-/)
  })

  test.each([
    ['another id', { event_id: 'e2', project_id: 'p' }],
    ['another project', { event_id: 'e1', project_id: 'q' }],
    ['no project', { event_id: 'e1' }],
    ['the same letters, cut elsewhere', { event_id: '1', project_id: 'pe' }],
    ['quotes that look like a cut', { event_id: '', project_id: 'p","e1' }],
  ])('%s is another event', (_, other) => {
    const first = identity({ event_id: 'e1', project_id: 'p' })
    expect(identity(other).uuid).not.toBe(first.uuid)
    expect(identity(other).dedupKey).not.toBe(first.dedupKey)
  })

  test('an event without an id gets a new one, by which a retry can name it', () => {
    const { event_id } = normalise({}).row as LinkRow
    expect(event_id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7/)
    expect(identity({}).dedupKey).not.toBe(identity({}).dedupKey)
    expect(identity({ event_id })).toEqual(identity({ event_id, event_type: 'view' }))
  })

  test('an id is the same as stored, where lone surrogates are replaced', () => {
    expect(identity({ event_id: '\ud800' })).toEqual(identity({ event_id: '\udfff' }))
  })
})

describe('the examples of the contract', () => {
  const target = {
    link_id: 'abc123',
    link_slug: 'promo-summer',
    link_original_url: 'https://example.com/summer-promotion',
  }
  const conversion = {
    event_type: 'conversion',
    ...target,
    event_attributes: { page: '/checkout', product_id: 'xyz789' },
    ...{ user_id: 'user123', team_id: 'team456', project_id: 'proj789', visitor_id: 'vis987' },
    ...{ is_bounce: false, time_spent_sec: 120, conversion_type: 'purchase' },
    ...{ conversion_value: 99.99, utm_source: 'email', utm_campaign: 'summer_sale' },
  }

  test('the basic example', () => {
    expect(toRow({ event_type: 'click', ...target })).toMatchObject(target)
  })

  test('the detailed example, up to its line', () => {
    const event = normalise(conversion)
    expect(event).toMatchObject({ kind: 'link', route: 'main', key: 'proj789:vis987' })
    expect(JSON.parse(toLine(toRecord(event)))).toMatchObject({
      ...conversion,
      event_time: '2026-01-01T12:00:00.000Z',
      received_at: '2026-01-01T12:00:00.000Z',
      link_expires_at: null,
      link_attributes: {},
      link_tags: [],
    })
  })
})

test.each(attributes)('an empty array of PHP is an empty object in %s', (field) => {
  expect(toRow({ [field]: [] })[field]).toBe('{}')
})

describe('a difference between an event and its row is a warning', () => {
  const warningsOf = (event: object) =>
    JSON.parse(toLine(toRecord(normalise(event)))).ingest_warnings

  test.each<[string, string, string, string, object]>([
    [
      'a time before 1970',
      'time_implausible',
      'event_time',
      '1969-12-31',
      { event_time: '1969-12-31' },
    ],
    ['an unknown field', 'field_dropped', 'campaign', 'summer', { campaign: 'summer' }],
    ['a column that is no field', 'field_dropped', 'uuid', 'x', { uuid: 'x' }],
  ])('%s', (_, kind, field, value, event) => {
    expect(warningsOf(event)).toEqual([{ kind, field, value }])
    expect(normalise(event).altered).toEqual([kind] as never)
  })

  test.each<[string, object]>([
    ['an event with all its fields absent', {}],
    ['times of a link outside of those of events', { link_created_at: '1950-01-01T00:00:00Z' }],
    ['an unknown field that is null', { campaign: null }],
  ])('and there is none for %s', (_, event) => {
    expect(normalise(event).altered).toBeUndefined()
    expect(warningsOf(event)).toEqual([])
  })
})

test.each<[string, object, string]>([
  ['a bad field', { event_type: 'click', is_bounce: 'no' }, 'invalid_field'],
  ['no type', { link_id: 'x' }, 'missing_field'],
])('an event with %s is rejected with its content', (_, event, code) => {
  const submission = linkProtocol.parse(toRequest(), { value: event, decodedBytes: 2 })
  expect(normaliseLink(toRequest(), submission)).toMatchObject({
    events: [],
    rejections: [{ index: 0, code, raw: event }],
    refusal: { code },
  })
})
