import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { bodyBytesMax } from '../../../src/core/limits.ts'
import { type Answer, type Pipeline, post, startPipeline, typesOf } from './support.ts'

type Row = Record<string, unknown>

const text = 'String'
const word = 'LowCardinality(String)'
const time = "DateTime64(3, 'UTC')"

/**
 * Field, column type, value as sent, value as stored, and the value in Kafka if it is not the one
 * sent.
 */
const fields: [string, string, unknown, unknown, unknown?][] = [
  ['event_type', word, 'click', 'click'],
  ['event_id', text, 'evt-1', 'evt-1'],
  ['event_time', time, '2026-01-02T03:04:05.678Z', '2026-01-02 03:04:05.678'],
  ['event_attributes', text, { page: '/checkout', n: 2.5 }, '{"page":"/checkout","n":2.5}'],
  ['link_id', text, 'abc123', 'abc123'],
  ['link_slug', text, 'promo-summer', 'promo-summer'],
  ['link_label', text, 'Sömmer', 'Sömmer'],
  ['link_title', text, '"Title" \\ \u2028', '"Title" \\ \u2028'],
  ['link_original_url', text, 'https://example.com/?a=1&b=2', 'https://example.com/?a=1&b=2'],
  [
    'link_attributes',
    text,
    { nested: { list: [1, null, true] } },
    '{"nested":{"list":[1,null,true]}}',
  ],
  [
    'link_created_at',
    `Nullable(${time})`,
    '2025-12-01T00:00:00+02:00',
    '2025-11-30 22:00:00.000',
    '2025-11-30T22:00:00.000Z',
  ],
  ['link_expires_at', `Nullable(${time})`, '2031-01-01T00:00:00.000Z', '2031-01-01 00:00:00.000'],
  ['link_tags', 'Array(String)', ['summer', 'salé'], ['summer', 'salé']],
  ['user_id', text, 'user123', 'user123'],
  ['user_name', text, '张三', '张三'],
  ['user_email', text, 'user@example.com', 'user@example.com'],
  ['user_attributes', text, { plan: 'scale' }, '{"plan":"scale"}'],
  ['team_id', text, 'team456', 'team456'],
  ['team_name', text, 'Team', 'Team'],
  ['team_attributes', text, {}, '{}'],
  ['project_id', word, 'proj789', 'proj789'],
  ['project_name', text, 'Project', 'Project'],
  ['project_attributes', text, { tier: 1 }, '{"tier":1}'],
  ['qr_code_id', text, 'qr1', 'qr1'],
  ['qr_code_name', text, 'Poster', 'Poster'],
  ['qr_code_attributes', text, { size: 'A4' }, '{"size":"A4"}'],
  ['visitor_id', text, 'vis987', 'vis987'],
  ['session_id', text, 'sess1', 'sess1'],
  ['ip_address', text, '203.0.113.9', '203.0.113.9'],
  ['country', word, 'CN', 'CN'],
  ['city', text, '上海', '上海'],
  ['device_type', word, 'mobile', 'mobile'],
  ['browser', word, 'Firefox', 'Firefox'],
  ['os', word, 'iOS', 'iOS'],
  ['user_agent', text, 'Agent/1.0', 'Agent/1.0'],
  ['referrer', text, 'https://ref.example/', 'https://ref.example/'],
  ['utm_source', text, 'email', 'email'],
  ['utm_medium', text, 'cpc', 'cpc'],
  ['utm_campaign', text, 'summer_sale', 'summer_sale'],
  ['utm_term', text, 'shoes', 'shoes'],
  ['utm_content', text, 'banner', 'banner'],
  ['time_spent_sec', 'Float64', 120.5, 120.5],
  ['is_bounce', 'Bool', false, false],
  ['is_qr_scan', 'Bool', true, true],
  ['conversion_type', word, 'purchase', 'purchase'],
  ['conversion_value', 'Float64', 99.99, 99.99],
]

/** The columns that are not empty in the row of an event with `event_type` only. */
const defaults: [string, unknown][] = [
  ['event_id', expect.stringMatching(/^[0-9a-f-]{36}$/)],
  ['event_time', expect.stringMatching(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}$/)],
  ['visitor_id', expect.stringMatching(/^[0-9a-f-]{36}$/)],
  ['session_id', expect.stringMatching(/^[0-9a-f-]{36}$/)],
  ['project_id', 'default'],
  ['ip_address', '127.0.0.1'],
  ['user_agent', 'Mozilla/5.0 (test)'],
  ['referrer', 'https://page.example/from'],
  ['link_created_at', null],
  ['link_expires_at', null],
  ['link_tags', []],
  ['time_spent_sec', 0],
  ['is_bounce', true],
  ['is_qr_scan', false],
  ['conversion_value', 0],
]
const jsonFields = fields.map(([name]) => name).filter((name) => name.endsWith('_attributes'))

const basicExample = {
  event_type: 'click',
  link_id: 'abc123',
  link_slug: 'promo-summer',
  link_original_url: 'https://example.com/summer-promotion',
}
const detailedExample = {
  event_type: 'conversion',
  link_id: 'abc123',
  link_slug: 'promo-summer',
  link_original_url: 'https://example.com/summer-promotion',
  event_attributes: { page: '/checkout', product_id: 'xyz789' },
  user_id: 'user123',
  team_id: 'team456',
  project_id: 'proj789',
  visitor_id: 'vis987',
  is_bounce: false,
  time_spent_sec: 120,
  conversion_type: 'purchase',
  conversion_value: 99.99,
  utm_source: 'email',
  utm_campaign: 'summer_sale',
}
/** Objects as JSON strings, as the contract allows. They are stored as objects. */
const asStrings = {
  event_type: 'view',
  event_id: 'as-strings',
  link_tags: '["a","b"]',
  ...Object.fromEntries(
    jsonFields.map((name) => [name, `{ "of": "${name}", "big": 9007199254740993 }`]),
  ),
}

let server: Pipeline
const answers: Record<string, Answer> = {}
const stored: Record<string, Row> = {}
const sent: Record<string, { headers: Record<string, string>; key: string; value: Row }> = {}
let types: Record<string, string>

const full = Object.fromEntries(fields.map(([name, , value]) => [name, value]))
const headers = { 'user-agent': 'Mozilla/5.0 (test)', referer: 'https://page.example/from' }
const accepted: Record<string, unknown> = {
  full,
  minimal: { event_type: 'only' },
  basic: { ...basicExample, event_type: 'click' },
  detailed: detailedExample,
  asStrings,
}

beforeAll(async () => {
  server = await startPipeline()
  for (const [name, body] of Object.entries(accepted))
    answers[name] = await post(`${server.url}/api/events/track`, body, headers)
  const count = Object.keys(accepted).length
  const rows = await server.rows<Row>('SELECT * FROM link_events', count)
  const records = await server.records('link_events', count)
  types = await typesOf(server, 'link_events')
  for (const [name, answer] of Object.entries(answers)) {
    const id = (answer.body as { event_id: string }).event_id
    stored[name] = rows.find(({ event_id }) => event_id === id)!
    const record = records.find(({ value }) => JSON.parse(value).event_id === id)!
    sent[name] = { ...record, value: JSON.parse(record.value) }
  }
}, 120_000)
afterAll(() => server?.[Symbol.asyncDispose]())

describe('a field of the contract', () => {
  test.each(fields)('%s has its column, %s', (name, type, _, expected) => {
    expect(types[name]).toBe(type)
    expect(stored.full![name]).toEqual(expected)
  })

  test.each(fields)(
    '%s is in the Kafka record as sent',
    (name, _type, value, _stored, inKafka = value) => {
      expect(sent.full!.value[name]).toEqual(inKafka)
    },
  )

  test('has a column, and the table has no further columns but those of the server', () => {
    const ours = ['uuid', 'received_at', 'ingest_warnings', 'is_bot', 'first_wins']
    expect(Object.keys(types).sort()).toEqual([...fields.map(([name]) => name), ...ours].sort())
    expect(types).toMatchObject({ uuid: 'UUID', received_at: time })
  })
})

describe('a field that was not sent', () => {
  test.each(defaults)('%s has its default', (name, expected) => {
    expect(stored.minimal![name]).toEqual(expected)
  })

  test.each(jsonFields)('%s is an empty object', (name) => {
    expect(stored.minimal![name]).toBe('{}')
    expect(sent.minimal!.value[name]).toEqual({})
  })

  test('is an empty string for all other fields', () => {
    const named = new Set([...defaults.map(([name]) => name), ...jsonFields, 'event_type'])
    const rest = fields.map(([name]) => name).filter((name) => !named.has(name))
    expect(rest.map((name) => stored.minimal![name])).toEqual(rest.map(() => ''))
  })
})

test.each(jsonFields)('%s may be JSON in a string, whose numbers keep their text', (name) => {
  expect(stored.asStrings![name]).toBe(`{ "of": "${name}", "big": 9007199254740993 }`)
})

test('link_tags may be JSON in a string', () => {
  expect(stored.asStrings!.link_tags).toEqual(['a', 'b'])
})

test.each([
  ['basic', basicExample],
  [
    'detailed',
    { ...detailedExample, event_attributes: '{"page":"/checkout","product_id":"xyz789"}' },
  ],
])('the %s example of the contract is stored as it is written', (name, example) => {
  expect(answers[name]).toMatchObject({ status: 201 })
  expect(stored[name]).toMatchObject(example)
})

test('the reply is that of the contract and contains the id', () => {
  for (const name of Object.keys(accepted)) {
    expect(answers[name]).toMatchObject({
      status: 201,
      body: {
        success: true,
        message: 'Event tracked successfully',
        event_id: stored[name]!.event_id,
      },
    })
  }
  expect(answers.full!.body).toMatchObject({ event_id: 'evt-1' })
})

test('a Kafka record has the visitor in its key, and uuid, event and source as headers', () => {
  expect(sent.full!.key).toBe('proj789:vis987')
  expect(sent.full!.headers).toEqual({
    uuid: stored.full!.uuid as string,
    event: 'click',
    source: 'link',
  })
})

const wrongTypes = fields
  .filter(([name]) => name !== 'event_type')
  .map(
    ([name, type]) => [name, type === text || type === word ? 7 : 'neither date nor JSON'] as const,
  )

const refused: [string, unknown, number, unknown][] = [
  ['no event_type', { link_id: 'a' }, 400, { error: 'Missing required field: event_type' }],
  ['an empty event_type', { event_type: '' }, 400, { error: 'Missing required field: event_type' }],
  ['a null event_type', { event_type: null }, 400, { error: 'Missing required field: event_type' }],
  ['an event_type that is no text', { event_type: 7 }, 400, { error: 'Invalid field: event_type' }],
  ...wrongTypes.map(([name, value]): [string, unknown, number, unknown] => [
    `${name} of another type`,
    { event_type: 'click', [name]: value },
    400,
    { error: `Invalid field: ${name}` },
  ]),
  [
    'a body that is no JSON',
    '{"event_type":',
    400,
    { error: expect.stringContaining('Invalid field') },
  ],
  ['an empty body', '', 400, { error: expect.any(String) }],
  ['an array', [{ event_type: 'click' }], 400, { error: expect.stringContaining('Invalid field') }],
  ['a text', '"click"', 400, { error: expect.stringContaining('Invalid field') }],
  [
    'nesting without end',
    `${'['.repeat(5000)}${']'.repeat(5000)}`,
    400,
    { error: expect.any(String) },
  ],
  ['a broken gzip', new Uint8Array([31, 139, 8, 0, 1, 2]), 400, { error: expect.any(String) }],
  [
    'more than 20 MB',
    `{"event_type":"${'x'.repeat(bodyBytesMax)}"}`,
    413,
    { error: expect.any(String) },
  ],
]

test.each(refused)(
  '%s is refused in the format of the contract',
  async (_, body, status, reply) => {
    const answer = await post(`${server.url}/api/events/track`, body)
    expect(answer).toMatchObject({ status, body: reply })
  },
)

test('a refused event is no row of link_events', async () => {
  const after = await post(`${server.url}/api/events/track`, {
    event_type: 'last',
    event_id: 'last',
  })
  expect(after.status).toBe(201)
  await server.rows(`SELECT 1 FROM link_events WHERE event_id = 'last'`, 1)
  const rows = await server.query<Row>('SELECT event_type FROM link_events')
  expect(rows).toHaveLength(Object.keys(accepted).length + 1)
})
