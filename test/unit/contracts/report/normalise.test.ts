import { describe, expect, test } from 'bun:test'
import { toRecord } from '../../../../src/contracts/encode.ts'
import { normaliseReport } from '../../../../src/contracts/report/normalise.ts'
import { toRequestError } from '../../../../src/core/errors.ts'
import type { CanonicalEvent, EventRow } from '../../../../src/core/event.ts'
import { parseSmallJson as parseJson } from '../../../../src/ingest/decode/parse-json.ts'
import { toLine } from '../../../support/line.ts'
import { context, receivedMs, toRequest } from '../link-report-telemetry.ts'

const contractHeaders = {
  'X-API-KEY': 'YOUR_API_KEY',
  'X-USER-ID': 'user_123456',
  'User-Agent': 'YourApp/1.0',
  'X-APP-ID': 'com.example.app',
  'X-PLATFORM': 'iOS',
  'X-VERSION': '1.0.0',
  'Content-Type': 'application/json',
  Accept: 'application/json',
}
const event = { name: 'app_opened', user: 'user_123456', sessionId: 'session_abc123' }

function normalise(
  events: readonly unknown[],
  headers: Record<string, string> = {},
  project = 'shop',
): CanonicalEvent[] {
  const request = toRequest({ headers: { ...contractHeaders, ...headers } })
  const where = { project: { ...context.project, id: project } }
  const normalised = normaliseReport(request, { events }, where)
  if (normalised.refusal) throw toRequestError(normalised.refusal)
  return normalised.events
}

const toRow = (raw: object, headers?: Record<string, string>) =>
  normalise([{ ...event, ...raw }], headers)[0]!.row as EventRow
const toProperties = (raw: object, headers?: Record<string, string>) =>
  JSON.parse(toRow(raw, headers).properties)

const own = {
  $user_id: 'user_123456',
  $app_id: 'com.example.app',
  $platform: 'iOS',
  $sdk_version: '1.0.0',
  $user_agent: 'YourApp/1.0',
  $content_type: 'application/json',
  $accept: 'application/json',
}

describe('a reported event becomes a row:', () => {
  test.each<[keyof EventRow, unknown]>([
    ['event', 'app_opened'],
    ['distinct_id', 'user_123456'],
    ['session_id', 'session_abc123'],
    ['project', 'shop'],
    ['source', 'report'],
    ['timestamp', receivedMs],
    ['received_at', receivedMs],
    ['ip', '203.0.113.7'],
    ['user_agent', 'YourApp/1.0'],
    ['library', ''],
    ['user', '{}'],
    ['historical', false],
    ['uuid', expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-7/)],
  ])('%s is %p', (column, expected) => {
    expect(toRow({})[column]).toEqual(expected as never)
  })

  test('its Kafka key contains its user', () => {
    expect(normalise([event])[0]).toMatchObject({
      kind: 'event',
      route: 'main',
      category: 'events',
      key: 'shop:user_123456',
    })
  })
})

describe('properties', () => {
  test('are the headers of the contract except the key', () => {
    expect(toProperties({})).toEqual(own)
    expect(toProperties({ extra: null })).toEqual(own)
    expect(toRow({}).properties).not.toContain('YOUR_API_KEY')
  })

  test('contain extra as sent', () => {
    const extra = { product_id: 'premium_monthly', price: 9.99, nested: { list: [1, null] } }
    expect(toProperties({ extra })).toEqual({ ...extra, ...own })
  })

  test('from headers overwrite those of an event, with a warning', () => {
    const { $ingest_warnings, ...others } = toProperties({ extra: { $user_id: 'another' } })
    expect(others).toEqual(own)
    expect($ingest_warnings).toEqual([
      { kind: 'property_replaced', field: '$user_id', value: 'another' },
    ])
  })

  test('have no entry for an absent header', () => {
    const { $accept, $user_agent, ...rest } = own
    expect(toProperties({}, { Accept: '', 'User-Agent': '' })).toEqual(rest)
    expect([$accept, $user_agent]).not.toContain('')
  })

  test('have headers cut at 512 characters', () => {
    expect(toProperties({}, { 'X-USER-ID': 'u'.repeat(5000) }).$user_id).toHaveLength(512)
  })

  test('keep big integers and __proto__', () => {
    const extra = parseJson('{"__proto__":{"a":1},"id":12345678901234567890}')
    expect(toRow({ extra }).properties).toStartWith(
      '{"__proto__":{"a":1},"id":12345678901234567890,"$user_id"',
    )
  })
})

describe('project, X-USER-ID, Idempotency-Key and index identify an event', () => {
  const identities = (key: string, project?: string) =>
    normalise([event, event], key ? { 'Idempotency-Key': key } : {}, project).map(
      ({ row, dedupKey }) => ({ uuid: row.uuid, dedupKey }),
    )

  test('a retry has the same identity', () => {
    const [first, second] = identities('retry-1')
    expect(identities('retry-1')).toEqual([first!, second!])
    expect(first!.dedupKey).toMatch(/^[0-9a-f]{32}$/)
    expect(first!.uuid).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-/)
    expect(second!.dedupKey).not.toBe(first!.dedupKey)
    expect(second!.uuid).not.toBe(first!.uuid)
  })

  test.each([
    ['another key', 'retry-2', 'shop'],
    ['another project', 'retry-1', 'club'],
  ])('%s gives other identities', (_, key, project) => {
    const dedupKeys = identities('retry-1').map(({ dedupKey }) => dedupKey)
    for (const { dedupKey } of identities(key, project)) expect(dedupKeys).not.toContain(dedupKey)
  })

  test('the same key of another user gives other identities', () => {
    const of = (user: string) =>
      normalise([event], { 'Idempotency-Key': '1', 'X-USER-ID': user }).map(
        ({ dedupKey }) => dedupKey!,
      )
    expect(of('device-1')).toEqual(of('device-1'))
    expect(of('device-1')).not.toEqual(of('device-2'))
  })

  test('the payload has a key of its own, which no field of the events is outside of', () => {
    const payloadKeyOf = (events: readonly unknown[], headers: Record<string, string> = {}) => {
      const all = { ...contractHeaders, 'Idempotency-Key': '1', ...headers }
      return normaliseReport(toRequest({ headers: all }), { events }, context).payloadKey
    }
    const payloadKey = payloadKeyOf([event])!
    expect(payloadKey).toMatch(/^[0-9a-f]{32}$/)
    expect(payloadKeyOf([{ ...event }])).toBe(payloadKey)
    expect(payloadKeyOf([event], { 'User-Agent': 'later version' })).toBe(payloadKey)
    expect(payloadKeyOf([event], { 'Idempotency-Key': '' })).toBeUndefined()
    const others = [
      payloadKeyOf([event, event]),
      payloadKeyOf([{ ...event, extra: { a: 1 } }]),
      payloadKeyOf([event], { 'X-USER-ID': 'another' }),
      payloadKeyOf([event], { 'Idempotency-Key': '2' }),
    ]
    expect(new Set([payloadKey, ...others]).size).toBe(5)
  })

  test('without a key no event is a duplicate', () => {
    const [first, second] = identities('')
    expect([first!.dedupKey, second!.dedupKey]).toEqual([undefined, undefined])
    expect(first!.uuid).not.toBe(second!.uuid)
  })
})

test('one bad event refuses the report', () => {
  expect(() => normalise([event, { ...event, user: '' }])).toThrow(
    expect.objectContaining({
      code: 'missing_field',
      details: {
        field: 'user',
        faults: [{ index: 1, field: 'user', code: 'missing_field', message: 'User is required' }],
      },
    }),
  )
})

test.each([
  ['name', 'Event name'],
  ['user', 'User'],
  ['sessionId', 'Session ID'],
])('%s has at most 200 characters', (field, label) => {
  expect(normalise([{ ...event, [field]: '🎉'.repeat(200) }])).toHaveLength(1)
  const message = `${label} must have at most 200 characters`
  const fault = { index: 0, field, code: 'invalid_field', message }
  expect(() => normalise([{ ...event, [field]: 'x'.repeat(201) }])).toThrow(
    expect.objectContaining({ code: 'invalid_field', details: { field, faults: [fault] } }),
  )
})

describe('the examples of the contract', () => {
  const opened = { ...event, extra: { source: 'push_notification' } }
  const premium = { product_id: 'premium_monthly', price: 9.99, currency: 'USD' }
  const purchased = { ...event, name: 'purchase_completed', extra: premium }
  const used = { feature_name: 'premium_analytics', usage_duration: 120 }

  test.each([
    ['body', [{ ...opened, extra: { ...opened.extra, screen: 'home' } }, purchased]],
    ['curl', [opened, { ...event, name: 'feature_used', extra: used }]],
    ['Swift', [opened, purchased]],
    ['Java', [opened, purchased]],
    ['JavaScript', [{ ...opened, extra: { ...opened.extra, screen: 'home' } }, purchased]],
    ['batch', [{ ...event, extra: {} }]],
  ])('%s, up to the line', (_, events) => {
    const lines = normalise(events).map((canonical) => JSON.parse(toLine(toRecord(canonical))))
    expect(lines).toEqual(
      events.map(({ name, user, sessionId, extra }) =>
        expect.objectContaining({
          source: 'report',
          event: name,
          distinct_id: user,
          session_id: sessionId,
          timestamp: '2026-01-01T12:00:00.000Z',
          properties: { ...extra, ...own },
          user: {},
        }),
      ),
    )
  })
})

test('an empty array of PHP is an empty object', () => {
  expect(toProperties({ extra: [] })).toEqual(own)
})

describe('a difference between an event and its row is a warning', () => {
  const warningsOf = (raw: object, headers?: Record<string, string>) =>
    toProperties(raw, headers).$ingest_warnings as unknown

  test('for an unknown field', () => {
    const warning = { kind: 'field_dropped', field: 'timestamp', value: '2026-01-01' }
    expect(warningsOf({ timestamp: '2026-01-01' })).toEqual([warning])
    expect(normalise([{ ...event, timestamp: 5 }])[0]!.altered).toEqual(['field_dropped'])
  })

  test('for a header that is cut, at each event', () => {
    const headers = { 'X-USER-ID': `${'a'.repeat(500)}${'z'.repeat(500)}` }
    const value = `${'a'.repeat(100)}…${'z'.repeat(99)}`
    const warning = { kind: 'text_cut', field: 'x-user-id', value }
    const rows = normalise([event, { ...event, extra: { a: 1 } }], headers)
    expect(
      rows.map(({ row }) => JSON.parse((row as EventRow).properties).$ingest_warnings),
    ).toEqual([[warning], [warning]])
  })

  test('and there is none for an event that is stored as sent', () => {
    expect(warningsOf({ extra: { a: 1 }, note: null }, { 'X-USER-ID': 'u'.repeat(512) })).toBe(
      undefined,
    )
    expect(normalise([event])[0]!.altered).toBeUndefined()
  })
})

describe('a refused report lists its events as rejected:', () => {
  const refuse = (...events: unknown[]) =>
    normaliseReport(toRequest({ headers: contractHeaders }), { events }, context)

  test('the bad ones with their fault, the others with that of the report', () => {
    const bad = { ...event, user: '' }
    expect(refuse(event, bad, 5)).toEqual({
      events: [],
      dropped: 0,
      moreRejected: undefined,
      rejections: [
        {
          ...{ index: 0, code: 'missing_field', raw: event },
          message: 'refused with its request: User is required',
        },
        { index: 1, code: 'missing_field', field: 'user', message: 'User is required', raw: bad },
        { index: 2, code: 'invalid_event', message: 'events[2] must be an object', raw: 5 },
      ],
      refusal: expect.objectContaining({ code: 'missing_field', message: 'User is required' }),
    })
  })

  test('a hundred of them, and the others as counts', () => {
    const events = Array.from({ length: 250 }, (_, n) => (n % 2 ? event : 5))
    const { rejections, moreRejected } = refuse(...events)
    expect(rejections).toHaveLength(100)
    expect(moreRejected).toEqual({ invalid_event: 150 })
  })
})
