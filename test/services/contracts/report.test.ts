import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { bodyBytesMax } from '../../../src/core/limits.ts'
import { type Answer, type Pipeline, post, startPipeline, typesOf } from './support.ts'

type Row = Record<string, unknown>

const versions = ['/users/report/events', '/v2/users/report/events'] as const
const [v1, v2] = versions

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
const toProperties = (platform: string) => ({
  $user_id: 'user_123456',
  $app_id: 'com.example.app',
  $platform: platform,
  $sdk_version: '1.0.0',
  $user_agent: 'YourApp/1.0',
  $content_type: expect.stringContaining('application/json'),
  $accept: 'application/json',
})

const opened = {
  name: 'app_opened',
  user: 'user_123456',
  sessionId: 'session_abc123',
  extra: { source: 'push_notification' },
}
const purchased = {
  name: 'purchase_completed',
  user: 'user_123456',
  sessionId: 'session_abc123',
  extra: { product_id: 'premium_monthly', price: 9.99, currency: 'USD' },
}
const used = {
  name: 'feature_used',
  user: 'user_123456',
  sessionId: 'session_abc123',
  extra: { feature_name: 'premium_analytics', usage_duration: 120 },
}

/** The examples of the contract, with their platforms. */
const examples: [string, string, (typeof opened | typeof purchased | typeof used)[]][] = [
  [
    'request body',
    'iOS',
    [{ ...opened, extra: { source: 'push_notification', screen: 'home' } as never }, purchased],
  ],
  ['curl', 'iOS', [opened, used]],
  ['Swift', 'iOS', [opened, purchased]],
  ['Java', 'Android', [opened, purchased]],
  ['JavaScript', 'iOS', [opened, purchased]],
]

const commonNames = [
  ['app_opened', { source: 'icon' }],
  ['app_closed', { duration: 12.5 }],
  ['app_background', {}],
  ['app_foreground', {}],
  ['screen_view', { screen_name: 'home' }],
  ['button_click', { button_name: 'upgrade' }],
  ['feature_used', { feature_name: 'export' }],
  ['purchase_started', { product_id: 'p1' }],
  ['purchase_completed', { product_id: 'p1', price: 9.99, currency: 'USD' }],
  ['purchase_cancelled', { product_id: 'p1', reason: 'price' }],
  ['subscription_started', { product_id: 'p1', trial_period: '7d' }],
  ['subscription_renewed', { product_id: 'p1' }],
  ['subscription_cancelled', { product_id: 'p1', reason: 'unused' }],
] as const

/**
 * Without a projects file each key is a project, named by its hash. The key itself is stored
 * nowhere.
 */
const openProject = `key_${createHash('sha256').update('YOUR_API_KEY').digest('hex').slice(0, 16)}`

describe('report, open to every key', () => {
  let server: Pipeline
  const answers = new Map<string, Answer>()
  let rows: Row[]
  let records: { key: string; headers: Record<string, string>; value: Row }[]
  let expectedCount = 0

  /** A marker in `extra` identifies the rows of each example. */
  const mark = (example: string, path: string) => `${example} at ${path}`

  async function send(path: string, example: string, events: object[], headers = {}) {
    const name = mark(example, path)
    const marked = events.map((event) => ({
      ...event,
      extra: { ...(event as { extra?: object }).extra, example: name },
    }))
    answers.set(
      name,
      await post(`${server.url}${path}`, { events: marked }, { ...contractHeaders, ...headers }),
    )
    expectedCount += events.length
  }

  const storedOf = (name: string) =>
    rows
      .filter(({ properties }) => JSON.parse(String(properties)).example === name)
      .sort((a, b) => String(a.event).localeCompare(String(b.event)))

  beforeAll(async () => {
    server = await startPipeline()
    for (const path of versions) {
      for (const [name, platform, events] of examples)
        await send(path, name, events, { 'X-PLATFORM': platform })
      const common = commonNames.map(([name, extra]) => ({ ...opened, name, extra }))
      await send(path, 'common names', common)
    }
    await send(v1, 'no extra', [{ name: 'bare', user: 'u2', sessionId: 's2' }])
    await send(v1, 'keyed', [opened, opened], { 'Idempotency-Key': 'key-1' })
    await send(v1, 'contradicting', [{ ...opened, extra: { $platform: 'forged' } }])
    rows = await server.rows<Row>('SELECT * FROM events', expectedCount)
    const received = await server.records('events', expectedCount)
    records = received.map((record) => ({ ...record, value: JSON.parse(record.value) }))
  }, 120_000)
  afterAll(() => server?.[Symbol.asyncDispose]())

  test('stores every event once, in the columns of the shared table', async () => {
    expect(rows).toHaveLength(expectedCount)
    expect(records).toHaveLength(expectedCount)
    expect(await typesOf(server, 'events')).toEqual({
      uuid: 'UUID',
      project: 'LowCardinality(String)',
      source: "Enum8('capture' = 1, 'telemetry' = 2, 'report' = 3)",
      event: 'LowCardinality(String)',
      distinct_id: 'String',
      session_id: 'String',
      timestamp: "DateTime64(3, 'UTC')",
      received_at: "DateTime64(3, 'UTC')",
      ip: 'String',
      user_agent: 'String',
      library: 'LowCardinality(String)',
      properties: 'String',
      user: 'String',
      historical: 'Bool',
      first_wins: 'UInt64',
    })
  })

  describe.each(versions)('%s', (path) => {
    test.each(examples)('accepts the %s example of the contract', (name, platform, events) => {
      const success = { status: 'success', message: 'Events reported successfully' }
      const answer = answers.get(mark(name, path))
      expect(answer?.status).toBe(200)
      expect(answer?.body).toEqual(path === v2 ? { ...success, received: events.length } : success)
      const stored = storedOf(mark(name, path))
      expect(stored).toMatchObject(
        events.map((event) => ({
          project: openProject,
          source: 'report',
          event: event.name,
          distinct_id: event.user,
          session_id: event.sessionId,
          ip: '127.0.0.1',
          user_agent: 'YourApp/1.0',
          library: '',
          user: '{}',
          historical: false,
        })),
      )
      expect(stored.map(({ properties }) => JSON.parse(String(properties)))).toEqual(
        events.map(({ extra }) => ({
          ...extra,
          example: mark(name, path),
          ...toProperties(platform),
        })),
      )
    })

    test.each(commonNames)('stores %s with the suggested properties', (name, extra) => {
      const found = storedOf(mark('common names', path)).filter(({ event }) => event === name)
      expect(found).toHaveLength(1)
      expect(JSON.parse(String(found[0]?.properties))).toMatchObject(extra)
    })
  })

  test('an event without extra has the headers as its properties', () => {
    expect(storedOf(mark('no extra', v1))).toMatchObject([
      { event: 'bare', distinct_id: 'u2', session_id: 's2' },
    ])
  })

  test('headers overwrite equal names in extra', () => {
    const [row] = storedOf(mark('contradicting', v1))
    expect(JSON.parse(String(row?.properties)).$platform).toBe('iOS')
  })

  test('its time is the time of receipt', () => {
    for (const { timestamp, received_at } of rows) expect(timestamp).toBe(received_at as string)
  })

  test('the uuid is a version 5 with an Idempotency-Key and a version 7 without', () => {
    const versionOf = ({ uuid }: Row) => String(uuid)[14]
    expect(storedOf(mark('keyed', v1)).map(versionOf)).toEqual(['5', '5'])
    expect(storedOf(mark('no extra', v1)).map(versionOf)).toEqual(['7'])
  })

  test('Kafka carries the same line, keyed by project and user', () => {
    for (const { key, headers, value } of records) {
      const row = rows.find(({ uuid }) => uuid === value.uuid)
      expect(key).toBe(`${openProject}:${row?.distinct_id}`)
      expect(headers).toEqual({
        uuid: String(row?.uuid),
        event: String(row?.event),
        source: 'report',
      })
      expect(value).toEqual({
        ...row,
        timestamp: toIso(row?.timestamp),
        received_at: toIso(row?.received_at),
        properties: JSON.parse(String(row?.properties)),
        user: {},
      })
    }
  })

  test('the API key is in no row, no Kafka record and no log line', () => {
    expect(JSON.stringify([rows, records])).not.toContain('YOUR_API_KEY')
    expect(server.log()).not.toContain('YOUR_API_KEY')
  })

  const faulty: [string, unknown, string, string, object[]][] = [
    ...(
      [
        ['name', 'EVENT_NAME_REQUIRED', 'Event name is required'],
        ['user', 'USER_REQUIRED', 'User is required'],
        ['sessionId', 'SESSION_ID_REQUIRED', 'Session ID is required'],
      ] as const
    ).flatMap(([field, code, message]) =>
      [undefined, null, ''].map((value): (typeof faulty)[number] => [
        `${field} ${value === '' ? 'empty' : value}`,
        { events: [opened, { ...opened, [field]: value }] },
        code,
        message,
        [{ index: 1, field, code, message }],
      ]),
    ),
    ...['name', 'user', 'sessionId', 'extra'].map((field): (typeof faulty)[number] => [
      `${field} of another type`,
      { events: [{ ...opened, [field]: 7 }] },
      'INVALID_PARAMETER',
      expect.any(String) as never,
      [{ index: 0, field, code: 'INVALID_PARAMETER', message: expect.any(String) }],
    ]),
    ...(
      [
        ['no events', {}],
        ['events that are no array', { events: opened }],
        ['no event', { events: [] }],
        ['1001 events', { events: Array(1001).fill(opened) }],
        ['a body that is no object', [opened]],
        ['a body that is no JSON', '{"events":['],
        ['an empty body', ''],
      ] as const
    ).map(([name, body]): (typeof faulty)[number] => [
      name,
      body,
      'INVALID_PARAMETER',
      expect.any(String) as never,
      [
        {
          index: null,
          field: expect.anything(),
          code: 'INVALID_PARAMETER',
          message: expect.any(String),
        },
      ],
    ]),
    [
      'an event that is no object',
      { events: [opened, 7] },
      'INVALID_PARAMETER',
      'events[1] must be an object',
      [
        {
          index: 1,
          field: null,
          code: 'INVALID_PARAMETER',
          message: 'events[1] must be an object',
        },
      ],
    ],
  ]

  test.each(faulty)('refuses %s', async (_, body, code, message, errors) => {
    const refusal = { status: 'error', code, message }
    const first = await post(`${server.url}${v1}`, body, contractHeaders)
    expect(first.status).toBe(400)
    expect(first.body).toEqual(refusal)
    const second = await post(`${server.url}${v2}`, body, contractHeaders)
    expect(second.status).toBe(400)
    expect(second.body).toMatchObject({ ...refusal, errors: errors.map(toNullable) })
  })

  test.each(['X-API-KEY', 'X-USER-ID', 'X-APP-ID', 'X-PLATFORM', 'X-VERSION'])(
    'wants the header %s',
    async (name) => {
      for (const path of versions) {
        const { [name as 'Accept']: _, ...rest } = contractHeaders
        const { status, body } = await post(`${server.url}${path}`, { events: [opened] }, rest)
        expect(status).toBe(400)
        expect(body).toMatchObject({
          status: 'error',
          code: 'MISSING_REQUIRED_HEADER',
          message: expect.stringContaining(name),
        })
      }
    },
  )

  test.each([
    ['too long', 'k'.repeat(65)],
    ['personal', 'phx_secret'],
    ['not ASCII', 'cl\u00e9'],
  ])('refuses a key that is %s', async (_, key) => {
    for (const path of versions) {
      const headers = { ...contractHeaders, 'X-API-KEY': key }
      const { status, body } = await post(`${server.url}${path}`, { events: [opened] }, headers)
      expect(status).toBe(401)
      expect(body).toMatchObject({ status: 'error', code: 'INVALID_API_KEY' })
    }
  })

  test('refuses more than 20 MB, in the format of the contract', async () => {
    const body = `{"events":"${'x'.repeat(bodyBytesMax)}"}`
    const answer = await post(`${server.url}${v2}`, body, contractHeaders)
    expect(answer).toMatchObject({
      status: 413,
      body: { status: 'error', code: expect.any(String) },
    })
  })

  test('stores nothing of a refused report', async () => {
    await post(`${server.url}${v1}`, { events: [{ ...opened, name: 'last' }] }, contractHeaders)
    await server.rows(`SELECT 1 FROM events WHERE event = 'last'`, 1)
    expect(await server.query('SELECT 1 FROM events')).toHaveLength(expectedCount + 1)
  })
})

describe('report, with a projects file', () => {
  let server: Pipeline
  beforeAll(async () => {
    server = await startPipeline({
      PROJECTS_FILE: join(import.meta.dir, '../../fixtures/projects.toml'),
    })
  }, 60_000)
  afterAll(() => server?.[Symbol.asyncDispose]())

  test.each([
    ['sk_shop', 'shop'],
    ['sk_blog', 'blog'],
  ])('the key %s belongs to the project %s', async (key, project) => {
    const headers = { ...contractHeaders, 'X-API-KEY': key }
    const { status } = await post(`${server.url}${v2}`, { events: [opened] }, headers)
    expect(status).toBe(200)
    const sql = `SELECT project, event FROM events WHERE project = '${project}'`
    expect(await server.rows<Row>(sql, 1)).toEqual([{ project, event: 'app_opened' }])
  })

  test.each(versions)('%s refuses an unknown key', async (path) => {
    const { status, body } = await post(
      `${server.url}${path}`,
      { events: [opened] },
      contractHeaders,
    )
    expect(status).toBe(401)
    expect(body).toMatchObject({ status: 'error', code: 'INVALID_API_KEY' })
  })
})

const toIso = (time: unknown) => `${String(time).replace(' ', 'T')}Z`

/**
 * `expect.anything()` does not match null, and a fault of the whole body may have null as its
 * field.
 */
function toNullable(fault: object) {
  const { field, ...rest } = fault as { field: unknown }
  return field === null || typeof field === 'string' ? fault : rest
}
