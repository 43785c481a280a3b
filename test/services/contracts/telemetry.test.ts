import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { bodyBytesMax } from '../../../src/core/limits.ts'
import { type Answer, type Pipeline, post, startPipeline } from './support.ts'

type Row = Record<string, unknown>
type Event = Record<string, unknown> & { id: string; props?: object; user?: object }

const base = { ts: 1703123456789, app: 'my-app', release: '1.0.0', sessionId: 'sess_xyz789' }

/** The example batch of the contract. */
const example: Event[] = [
  {
    ...base,
    id: 'evt_abc123',
    type: 'page',
    name: '/dashboard',
    user: { id: 'user_123', email: 'user@example.com' },
    props: {
      url: 'https://app.example.com/dashboard',
      title: 'Dashboard',
      referrer: 'https://app.example.com/login',
    },
  },
  {
    ...base,
    id: 'evt_def456',
    type: 'custom',
    name: 'button_click',
    ts: 1703123460000,
    props: { button_id: 'save-btn', section: 'settings' },
  },
]

/** The curl example of the contract. */
const curl =
  '[{"id":"test1","type":"custom","name":"test","ts":1703123456789,"app":"test","release":"1.0.0","sessionId":"sess1"}]'

/** The properties of each event type, by the contract. */
const typical: [string, string, Record<string, unknown>][] = [
  [
    'page',
    '/path/to/page',
    {
      url: 'https://app.example.com/path?a=1#top',
      title: '页面',
      referrer: '',
      query: { a: '1', nested: { deep: [1, 2.5, null] } },
      hash: '#top',
    },
  ],
  ['custom', 'anything', { text: 'a', number: 0.1, flag: true, none: null, list: [[]] }],
  [
    'error',
    'TypeError',
    {
      message: 'x is not a function',
      stack: 'TypeError: x\n\tat f (a.js:1:2)',
      filename: 'a.js',
      lineno: 1,
      colno: 2,
      severity: 'error',
      context: 'checkout',
    },
  ],
  [
    'api',
    '/api/users',
    {
      method: 'POST',
      url: 'https://api.example.com/users',
      status: 500,
      duration: 12.5,
      success: false,
    },
  ],
  [
    'perf',
    'LCP',
    { value: 2500.5, rating: 'needs-improvement', entryType: 'largest-contentful-paint' },
  ],
]

/** One event for every field of the user in the contract. */
const withUser: Event = {
  ...base,
  id: 'with-user',
  type: 'custom',
  name: 'signed_in',
  user: { id: 'u1', email: 'ada@example.com', name: 'Ada 🚀', attrs: { plan: 'scale', seats: 9 } },
}
const numberedUser: Event = { ...withUser, id: 'numbered', user: { id: 7 } }
const ownUuid: Event = { ...withUser, id: '018f4d8c-7c1e-7cc1-9f6a-1b6b4f0a2d3e' }
const nullish: Event = {
  ...base,
  id: 'nullish',
  type: 'page',
  name: 'n',
  user: null as never,
  props: null as never,
}

const batches: Record<string, unknown> = {
  example,
  curl,
  single: { ...base, id: 'single', type: 'custom', name: 'alone' },
  typical: typical.map(([type, name, props]) => ({
    ...base,
    id: `type-${type}`,
    type,
    name,
    props,
  })),
  users: [withUser, numberedUser, ownUuid, nullish],
  mixed: [
    { ...base, id: 'mixed-good', type: 'page', name: 'good' },
    { ...base, id: 'mixed-bad', type: 'pages', name: 'bad' },
    7,
  ],
}
const storedCount = 2 + 1 + 1 + 5 + 4 + 1

let server: Pipeline
const answers: Record<string, Answer> = {}
let rows: Row[]
let records: { key: string; headers: Record<string, string>; value: Row }[]

beforeAll(async () => {
  server = await startPipeline()
  for (const [name, body] of Object.entries(batches))
    answers[name] = await post(`${server.url}/api/telemetry/events`, body, {
      'user-agent': 'Mozilla/5.0 (test)',
    })
  rows = await server.rows<Row>('SELECT * FROM events', storedCount)
  const received = await server.records('events', storedCount)
  records = received.map((record) => ({ ...record, value: JSON.parse(record.value) }))
}, 120_000)
afterAll(() => server?.[Symbol.asyncDispose]())

const rowOf = (name: string) => rows.find(({ event }) => event === name)!
const propertiesOf = (row: Row) => JSON.parse(String(row.properties))

describe('the reply', () => {
  test.each([
    ['example', { success: true, received: 2, processed: 2 }],
    ['curl', { success: true, received: 1, processed: 1 }],
    ['single', { success: true, received: 1, processed: 1 }],
    ['typical', { success: true, received: 5, processed: 5 }],
    ['users', { success: true, received: 4, processed: 4 }],
    [
      'mixed',
      {
        success: true,
        received: 3,
        processed: 1,
        errors: [
          'events[1]: type must be one of page, custom, error, api, perf',
          'events[2]: an event must be an object',
        ],
      },
    ],
  ])('to %s has the numbers of received and processed events', (name, body) => {
    expect(answers[name]?.status).toBe(200)
    expect(answers[name]?.body).toEqual(body)
  })
})

describe('in ClickHouse', () => {
  test('the page view of the contract has every field in its column', () => {
    const row = rowOf('/dashboard')
    expect(row).toEqual({
      uuid: expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-5/),
      project: 'my-app',
      source: 'telemetry',
      event: '/dashboard',
      distinct_id: 'user_123',
      session_id: 'sess_xyz789',
      timestamp: '2023-12-21 01:50:56.789',
      received_at: expect.stringMatching(/^20\d\d-/),
      ip: '127.0.0.1',
      user_agent: 'Mozilla/5.0 (test)',
      library: '',
      properties: expect.any(String),
      user: '{"id":"user_123","email":"user@example.com"}',
      historical: false,
    })
    expect(propertiesOf(row)).toEqual({
      ...example[0]?.props,
      ...{ $id: 'evt_abc123', $type: 'page', $release: '1.0.0' },
    })
  })

  test('the custom event of the contract belongs to its session', () => {
    const row = rowOf('button_click')
    expect(row).toMatchObject({
      distinct_id: 'sess_xyz789',
      session_id: 'sess_xyz789',
      timestamp: '2023-12-21 01:51:00.000',
      user: '{}',
    })
    expect(propertiesOf(row)).toEqual({
      ...example[1]?.props,
      ...{ $id: 'evt_def456', $type: 'custom', $release: '1.0.0' },
    })
  })

  test('the event of the curl example is stored', () => {
    expect(rowOf('test')).toMatchObject({ project: 'test', distinct_id: 'sess1' })
  })

  test.each(typical)('a %s event keeps the properties of its type', (type, name, props) => {
    const own = { $id: `type-${type}`, $type: type, $release: '1.0.0' }
    expect(propertiesOf(rowOf(name))).toEqual({ ...props, ...own })
  })

  test('a user is stored with all fields, and its id may be a number', () => {
    const users = rows.filter(({ event }) => event === 'signed_in').map(({ user }) => user)
    expect(users).toContain(JSON.stringify(withUser.user))
    expect(rows.filter(({ distinct_id }) => distinct_id === '7')).toMatchObject([
      { user: '{"id":7}' },
    ])
  })

  test('an id that is a uuid is a property, and never the uuid of the row', () => {
    expect(rows.filter(({ uuid }) => uuid === ownUuid.id)).toHaveLength(0)
    expect(rows.filter((row) => propertiesOf(row).$id === ownUuid.id)).toHaveLength(1)
  })

  test('null for user and props counts as absent', () => {
    expect(rowOf('n')).toMatchObject({ distinct_id: base.sessionId, user: '{}' })
    expect(propertiesOf(rowOf('n'))).toEqual({
      ...{ $id: 'nullish', $type: 'page', $release: '1.0.0' },
    })
  })

  test('a rejected event is in the dead letters with its reason', async () => {
    const sql = 'SELECT project, protocol, stage, reason, raw FROM dead_letters ORDER BY raw'
    const letters = await server.rows<Row>(sql, 2)
    expect(letters).toMatchObject([
      { protocol: 'telemetry', stage: 'normalise', reason: 'invalid_event', raw: '7' },
      {
        protocol: 'telemetry',
        stage: 'normalise',
        reason: 'invalid_field',
        raw: expect.stringContaining('mixed-bad'),
      },
    ])
  })
})

test('Kafka carries the same line, keyed by app and user', () => {
  expect(records).toHaveLength(storedCount)
  for (const { key, headers, value } of records) {
    const row = rows.find(({ uuid }) => uuid === value.uuid)!
    expect(key).toBe(`${row.project}:${row.distinct_id}`)
    expect(headers).toEqual({
      uuid: String(row.uuid),
      event: String(row.event),
      source: 'telemetry',
    })
    expect(value).toEqual({
      ...row,
      timestamp: toIso(row.timestamp),
      received_at: toIso(row.received_at),
      properties: propertiesOf(row),
      user: JSON.parse(String(row.user)),
    })
  }
})

const good = { ...base, id: 'x', type: 'page', name: 'never' }
const longText = 'x'.repeat(201)
const badFields: [string, unknown, string][] = [
  ...['id', 'name', 'app', 'release', 'sessionId'].flatMap((field) =>
    [undefined, null, '', 7, longText].map((value): [string, unknown, string] => [
      field,
      value,
      `${field} must be a string of 1 to 200 characters`,
    ]),
  ),
  ...[undefined, null, 'pages', 7].map((value): [string, unknown, string] => [
    'type',
    value,
    'type must be one of page, custom, error, api, perf',
  ]),
  ...[undefined, null, '1703123456789', true].map((value): [string, unknown, string] => [
    'ts',
    value,
    'ts must be a finite number, ms since 1970',
  ]),
  ...['user', 'props'].flatMap((field) =>
    ['text', 7, [1]].map((value): [string, unknown, string] => [
      field,
      value,
      `${field} must be an object`,
    ]),
  ),
]

test('validates every field, alone and beside a valid event', async () => {
  for (const [field, value, sentence] of badFields) {
    const bad = { ...good, [field]: value }
    const alone = await post(`${server.url}/api/telemetry/events`, bad)
    expect([alone.status, alone.body]).toEqual([
      400,
      { success: false, error: expect.any(String), details: [`events[0]: ${sentence}`] },
    ])
    const beside = await post(`${server.url}/api/telemetry/events`, [example[0], bad])
    expect([beside.status, beside.body]).toEqual([
      200,
      { success: true, received: 2, processed: 1, errors: [`events[1]: ${sentence}`] },
    ])
  }
})

test.each([
  ['a body that is no JSON', '[{"id":', 400],
  ['an empty body', '', 400],
  ['a text', '"a"', 400],
  ['an empty batch', [], 400],
  ['1001 events', Array(1001).fill(good), 400],
  ['nesting without end', `${'['.repeat(5000)}${']'.repeat(5000)}`, 400],
  ['more than 20 MB', `"${'x'.repeat(bodyBytesMax)}"`, 413],
])('%s is refused in the format of the contract', async (_, body, status) => {
  const answer = await post(`${server.url}/api/telemetry/events`, body)
  expect(answer).toMatchObject({ status, body: { success: false, error: expect.any(String) } })
})

test('accepts a batch of 1000 events, and stores nothing of a refused batch', async () => {
  const batch = Array.from({ length: 1000 }, (_, index) => ({
    ...good,
    id: `k${index}`,
    name: 'k',
  }))
  const { body } = await post(`${server.url}/api/telemetry/events`, batch)
  expect(body).toEqual({ success: true, received: 1000, processed: 1000 })
  expect(await server.rows(`SELECT 1 FROM events WHERE event = 'k'`, 1000)).toHaveLength(1000)
  expect(await server.query(`SELECT 1 FROM events WHERE event = 'never'`)).toEqual([])
})

const toIso = (time: unknown) => `${String(time).replace(' ', 'T')}Z`
