import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { toRecord } from '../../../../src/contracts/encode.ts'
import { normaliseTelemetry } from '../../../../src/contracts/telemetry/normalise.ts'
import type { Fault } from '../../../../src/core/errors.ts'
import type { EventRow } from '../../../../src/core/event.ts'
import type { Project } from '../../../../src/core/protocol.ts'
import { parseSmallJson as parseJson } from '../../../../src/ingest/decode/parse-json.ts'
import { toLine } from '../../../support/line.ts'
import { receivedMs, toRequest } from '../link-report-telemetry.ts'

const event = {
  ...{ id: 'evt_abc123', type: 'page', name: '/dashboard', ts: 1703123456789 },
  ...{ app: 'my-app', release: '1.0.0', sessionId: 'sess_xyz789' },
}
const request = toRequest({ headers: { 'user-agent': 'Mozilla/5.0' } })

const normalise = (...events: unknown[]) => normaliseTelemetry(request, { events })
const canonical = (changes: object) => normalise({ ...event, ...changes }).events[0]!
const toRow = (changes: object) => canonical(changes).row as EventRow

describe('a telemetry event becomes a row:', () => {
  test.each<[keyof EventRow, unknown]>([
    ['event', '/dashboard'],
    ['distinct_id', 'sess_xyz789'],
    ['session_id', 'sess_xyz789'],
    ['project', 'my-app'],
    ['source', 'telemetry'],
    ['timestamp', 1703123456789],
    ['received_at', receivedMs],
    ['ip', '203.0.113.7'],
    ['user_agent', 'Mozilla/5.0'],
    ['library', ''],
    ['properties', '{"$id":"evt_abc123","$type":"page","$release":"1.0.0"}'],
    ['user', '{}'],
    ['historical', false],
    ['uuid', expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab]/)],
  ])('%s is %p', (column, expected) => {
    expect(toRow({})[column]).toEqual(expected as never)
  })

  test.each([
    ['the id of its user', { id: 'user_123', email: 'user@example.com' }, 'user_123'],
    ['a number', { id: 42 }, '42'],
    ['a number beyond 2^53', parseJson('{"id":12345678901234567890}'), '12345678901234567890'],
    ['the session where the user has no id', { name: 'Ada' }, 'sess_xyz789'],
    ['the session where the id is empty', { id: '' }, 'sess_xyz789'],
    ['the session where there is no user', null, 'sess_xyz789'],
  ])('distinct_id is %s', (_, user, expected) => {
    expect(toRow({ user }).distinct_id).toBe(expected)
    expect(canonical({ user }).key).toBe(`my-app:${expected}`)
  })

  test('user and props are stored as sent', () => {
    const user = { id: 'u', email: 'e@x', name: 'Ada', attrs: { plan: 'pro' } }
    expect(toRow({ user }).user).toBe(JSON.stringify(user))
    const props = parseJson('{"__proto__":1,"id":12345678901234567890}')
    expect(toRow({ props }).properties).toBe(
      '{"__proto__":1,"id":12345678901234567890,"$id":"evt_abc123","$type":"page","$release":"1.0.0"}',
    )
    expect(toRow({ props: null }).properties).toBe(
      '{"$id":"evt_abc123","$type":"page","$release":"1.0.0"}',
    )
  })

  test.each([
    ['in time', receivedMs - 1000, -1000],
    ['with a fraction', receivedMs - 0.5, -1],
    ['23 h ahead', receivedMs + 23 * 3_600_000, 23 * 3_600_000],
    ['more than 23 h ahead', receivedMs + 23 * 3_600_000 + 1, 0],
    ['at the beginning of 1970', 0, -receivedMs],
    ['before 1970', -1, 0],
    ['beyond all clocks', parseJson('[12345678901234567890]'), 0],
  ])('its time is %s', (_, ts, expectedMs) => {
    const sent = Array.isArray(ts) ? ts[0] : ts
    expect(toRow({ ts: sent }).timestamp - receivedMs).toBe(expectedMs)
  })
})

describe('a telemetry event is rejected for', () => {
  const textRule = 'must be a string of 1 to 200 characters'
  const texts = ['id', 'name', 'app', 'release', 'sessionId']
  test.each<[string, unknown, string, string]>([
    ...texts.flatMap((field): [string, unknown, string, string][] => [
      [field, undefined, 'missing_field', textRule],
      [field, null, 'missing_field', textRule],
      [field, '', 'invalid_field', textRule],
      [field, 5, 'invalid_field', textRule],
      [field, 'x'.repeat(201), 'invalid_field', textRule],
    ]),
    ...[undefined, null].map((type): [string, unknown, string, string] => [
      ...([
        'type',
        type,
        'missing_field',
        'must be one of page, custom, error, api, perf',
      ] as const),
    ]),
    ...['Page', '', 5, 'constructor'].map((type): [string, unknown, string, string] => [
      ...([
        'type',
        type,
        'invalid_field',
        'must be one of page, custom, error, api, perf',
      ] as const),
    ]),
    ['ts', undefined, 'missing_field', 'must be a finite number, ms since 1970'],
    ['ts', '1703123456789', 'invalid_field', 'must be a finite number, ms since 1970'],
    ['ts', Number.POSITIVE_INFINITY, 'invalid_field', 'must be a finite number, ms since 1970'],
    ['user', 'u', 'invalid_field', 'must be an object'],
    ['user', [1], 'invalid_field', 'must be an object'],
    ['props', 5, 'invalid_field', 'must be an object'],
    ['props', [1], 'invalid_field', 'must be an object'],
    ['user', { name: 'x'.repeat(8192) }, 'invalid_field', 'must have at most 8192 bytes of JSON'],
  ])('%s: %j', (field, value, code, rule) => {
    const raw = { ...event, [field]: value }
    const { events, rejections } = normalise(event, raw, event)
    expect(events).toHaveLength(2)
    const project = field === 'app' ? '' : 'my-app'
    expect(rejections as unknown[]).toEqual([
      { index: 1, code, field, message: `${field} ${rule}`, raw, project },
    ])
  })

  test.each([['x'.repeat(201)], [(parseJson(`[${'9'.repeat(201)}]`) as unknown[])[0]]])(
    'the id of its user: %j',
    (id) => {
      const { rejections } = normalise({ ...event, user: { id } })
      const message = 'user.id must have at most 200 characters'
      expect(rejections).toMatchObject([{ code: 'invalid_field', field: 'user.id', message }])
      expect(normalise({ ...event, user: { id: '9'.repeat(200) } }).rejections).toEqual([])
    },
  )

  test('large numbers instead of objects', () => {
    const props = (parseJson('[12345678901234567890]') as unknown[])[0]
    expect(normalise({ ...event, props }).rejections).toMatchObject([{ field: 'props' }])
    const ts = (parseJson('[1e400]') as unknown[])[0]
    expect(normalise({ ...event, ts }).rejections).toMatchObject([{ field: 'ts' }])
  })

  test.each([[null], [5], ['x'], [[]]])('being %j', (raw) => {
    expect(normalise(raw).rejections).toEqual([
      { index: 0, code: 'invalid_event', message: 'an event must be an object', raw, project: '' },
    ])
  })

  test('no value within the limits', () => {
    for (const field of texts) {
      expect(normalise({ ...event, [field]: '🎉'.repeat(200) }).rejections).toEqual([])
    }
  })

  test('any JSON gives an event or a rejection and never throws', () => {
    const fields = [...texts, 'type', 'ts', 'user', 'props']
    fc.assert(
      fc.property(fc.constantFrom(...fields), fc.jsonValue(), (field, value) => {
        const { events, rejections } = normalise({ ...event, [field]: value })
        expect(events.length + rejections.length).toBe(1)
        for (const accepted of events) JSON.parse(toLine(toRecord(accepted)))
      }),
    )
  })
})

describe('app and id identify a telemetry event', () => {
  test('duplicates have the same identity whatever their other fields are', () => {
    const first = canonical({})
    const copy = canonical({ ts: 5, name: 'other', sessionId: 's2' })
    expect(copy.dedupKey).toBe(first.dedupKey!)
    expect(copy.row.uuid).toBe(first.row.uuid)
    expect(first.dedupKey).toMatch(/^[0-9a-f]{32}$/)
  })

  test.each([
    ['another id', { id: 'evt_2' }],
    ['another app', { app: 'other' }],
    ['the same letters, cut elsewhere', { app: 'my-appe', id: 'vt_abc123' }],
  ])('%s is another event', (_, changes) => {
    expect(canonical(changes).dedupKey).not.toBe(canonical({}).dedupKey)
    expect(canonical(changes).row.uuid).not.toBe(canonical({}).row.uuid)
  })

  test('an id that is a uuid is a property, and never the uuid of the row', () => {
    const id = 'F47AC10B-58CC-4372-A567-0E02B2C3D479'
    expect(toRow({ id }).uuid).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-5/)
    expect(JSON.parse(toRow({ id, props: { $id: 'forged' } }).properties).$id).toBe(id)
  })

  test('an id is the same as stored, where lone surrogates are replaced', () => {
    expect(canonical({ id: '\ud800' }).dedupKey).toBe(canonical({ id: '\udfff' }).dedupKey!)
  })
})

describe('with a projects file, a telemetry event', () => {
  const shop: Project = { id: 'shop', origins: undefined, rate: undefined, quotas: {} }
  const refused: Fault = { code: 'unknown_app', message: 'app is not an app of any project' }
  const apps = new Map<string, Project | Fault>([
    ['ios', shop],
    ['shop', shop],
    ['nobody', refused],
  ])
  const send = (...events: unknown[]) => normaliseTelemetry(request, { events }, { apps })

  test('belongs to the project of its app, which is a property', () => {
    const [ios, web] = send({ ...event, app: 'ios' }, { ...event, app: 'shop' }).events
    expect(ios).toMatchObject({ key: 'shop:sess_xyz789', row: { project: 'shop' } })
    expect(JSON.parse((ios!.row as EventRow).properties)).toMatchObject({ $app: 'ios' })
    expect(JSON.parse((web!.row as EventRow).properties)).not.toHaveProperty('$app')
  })

  test('is rejected if its app may not send, and leaves the others', () => {
    const { events, rejections } = send({ ...event, app: 'nobody' }, { ...event, app: 'ios' })
    expect(events).toHaveLength(1)
    expect(rejections).toMatchObject([{ ...refused, index: 0, project: '' }])
  })
})

describe('the examples of the contract', () => {
  const props: Record<string, object> = {
    page: { url: 'https://app.example.com/', title: 'T', referrer: '', query: {}, hash: '#a' },
    custom: { button_id: 'save-btn', section: 'settings' },
    error: { message: 'm', stack: 's', filename: 'f', lineno: 1, colno: 2, severity: 'error' },
    api: { method: 'GET', url: '/x', status: 200, duration: 12.5, success: true },
    perf: { value: 2500, rating: 'needs-improvement', entryType: 'largest-contentful-paint' },
  }

  test.each(Object.entries(props))('%s, up to the line', (type, own) => {
    const user = { id: 'user_123', email: 'user@example.com' }
    const [accepted] = normalise({ ...event, type, user, props: own }).events
    expect(JSON.parse(toLine(toRecord(accepted!)))).toMatchObject({
      project: 'my-app',
      source: 'telemetry',
      event: '/dashboard',
      distinct_id: 'user_123',
      timestamp: '2023-12-21T01:50:56.789Z',
      properties: { ...own, $id: 'evt_abc123', $type: type, $release: '1.0.0' },
      user,
    })
  })

  test('curl', () => {
    const body =
      '[{"id":"test1","type":"custom","name":"test","ts":1703123456789,"app":"test","release":"1.0.0","sessionId":"sess1"}]'
    expect(normalise(...(JSON.parse(body) as unknown[])).rejections).toEqual([])
  })
})

test('an empty array of PHP is an empty object', () => {
  const { properties, user } = toRow({ props: [], user: [] })
  expect(JSON.parse(properties)).toEqual({ $id: event.id, $type: 'page', $release: '1.0.0' })
  expect(user).toBe('{}')
  expect(canonical({ props: [], user: [] }).altered).toBeUndefined()
})

describe('a difference between an event and its row is a warning', () => {
  const warningsOf = (changes: object) =>
    JSON.parse(toRow(changes).properties).$ingest_warnings as unknown

  test.each<[string, string, string, string, object]>([
    ['a time before 1970', 'time_implausible', 'ts', '-1', { ts: -1 }],
    ['a time far ahead', 'time_implausible', 'ts', '1e+40', { ts: 1e40 }],
    ['an unknown field', 'field_dropped', 'tenant', '{"a":1}', { tenant: { a: 1 } }],
    ['a property of ours', 'property_replaced', '$type', 'mine', { props: { $type: 'mine' } }],
  ])('%s', (_, kind, field, value, changes) => {
    expect(warningsOf(changes)).toEqual([{ kind, field, value }])
    expect(canonical(changes).altered).toEqual([kind] as never)
  })

  test('that does not change the identity', () => {
    expect(canonical({ tenant: 1 }).dedupKey).toBe(canonical({}).dedupKey)
  })

  test.each<[string, object]>([
    ['the moment of receipt', { ts: receivedMs + 0.5 }],
    ['a user and properties', { user: { id: 'u' }, props: { a: 1 } }],
    ['an unknown field that is null', { tenant: null }],
  ])('and there is none for %s', (_, changes) => {
    expect(canonical(changes).altered).toBeUndefined()
    expect(warningsOf(changes)).toBeUndefined()
  })
})
