import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Spillway, startSpillway } from '../support/spillway.ts'
import { until } from '../support/until.ts'

setDefaultTimeout(60_000)

/** The queries of docs/queries.md, by the heading of their section. */
const queries = Object.fromEntries(
  readFileSync(join(import.meta.dir, '../../docs/queries.md'), 'utf8')
    .split('\n## ')
    .slice(1)
    .filter((section) => section.includes('```sql'))
    .map((section) => [section.split('\n', 1)[0]!, /```sql\n(.*?)```/s.exec(section)?.[1] ?? '']),
)

const dayMs = 86_400_000
/** Noon of the day before: all times of a test are on one day, except those of another one. */
const noonMs = Math.floor(Date.now() / dayMs) * dayMs - dayMs / 2
const at = (seconds: number, daysAgo = 0) =>
  new Date(noonMs - daysAgo * dayMs + seconds * 1000).toISOString()
const today = at(0).slice(0, 10)
const before = at(0, 2).slice(0, 10)

type Properties = Record<string, unknown>
const make = (
  event: string,
  distinct_id: string,
  timestamp: string,
  properties: Properties = {},
) => ({
  ...{ event, distinct_id, timestamp, properties },
})

const page = (id: string) => ({ $session_id: id, $current_url: `https://shop.example/${id}` })
const captured = [
  // A visitor from a mail, who signs up and pays.
  make('$pageview', 'anon-1', at(0), { ...page('s1'), utm_source: 'mail', utm_campaign: 'may' }),
  make('$identify', 'ada', at(5), {
    $anon_distinct_id: 'anon-1',
    $session_id: 's1',
    $set: { email: 'ada@x.example', plan: 'free' },
  }),
  make('signed_up', 'ada', at(6), { $session_id: 's1', $set_once: { plan: 'none', first: true } }),
  make('paid', 'ada', at(60), { $session_id: 's1', amount: 19.9, currency: 'EUR' }),
  // A visitor who leaves, and came two days before, too.
  make('$pageview', 'bob', at(0, 2), page('s0')),
  make('$pageview', 'bob', at(0), page('s2')),
  make('paid', 'bob', at(-10), { amount: 5, currency: 'USD' }),
  make('$create_alias', 'bob', at(20), { alias: 'bobby' }),
  // Ids of a person cannot be merged into another one.
  make('$identify', 'bob', at(30), { $anon_distinct_id: 'ada', $session_id: 's2' }),
  make('$web_vitals', 'bob', at(40), {
    $current_url: '/',
    $web_vitals_LCP_value: 1200,
    $web_vitals_CLS_value: 0.1,
  }),
]
const seen = (id: string, type: string, release: string, user: string) => ({
  ...{
    id,
    type,
    name: '/dashboard',
    ts: noonMs,
    app: 'my-app',
    release,
    sessionId: 't1',
    user: { id: user },
  },
})
const telemetry = [
  ...[seen('1', 'page', '1.0', 'u1'), seen('2', 'page', '1.1', 'u1')],
  ...[seen('3', 'error', '1.1', 'u1'), seen('4', 'error', '1.1', 'u2')],
]
const links = [
  { event_type: 'click', visitor_id: 'v1', is_qr_scan: true },
  { event_type: 'click', visitor_id: 'v2' },
  { event_type: 'conversion', visitor_id: 'v2', conversion_value: 12.5 },
]
const preview = { event_type: 'click', visitor_id: 'v3', user_agent: 'WhatsApp/2.23.20.0' }
let server: Spillway

beforeAll(async () => {
  server = await startSpillway({ EVENTS_COLUMNS: '$current_url, utm_source', ENRICH: 'bots' })
  const send = async (path: string, body: unknown) => {
    const reply = await fetch(`${server.url}${path}`, {
      method: 'POST',
      body: JSON.stringify(body),
    })
    expect(reply.ok).toBe(true)
  }
  await send('/batch', { api_key: 'phc_my_project', batch: captured })
  await send('/api/telemetry/events', telemetry)
  const all = [
    ...links.map((link) => ({ link_slug: 'promo', ...link })),
    { link_slug: 'seen', ...preview },
  ]
  for (const link of all) await send('/api/events/track', { project_id: 'shop', ...link })
  const stored = `SELECT 1 FROM events UNION ALL SELECT 1 FROM link_events`
  const count = captured.length + telemetry.length + all.length
  await until(async () => (await server.query(stored)).length === count, { what: 'all events' })
})
afterAll(async () => {
  await server?.[Symbol.asyncDispose]()
})

const expected: Record<string, unknown[]> = {
  People: [
    { person_id: 'bob', distinct_ids: ['bob'], events: 6 },
    { person_id: 'ada', distinct_ids: ['ada', 'anon-1'], events: 4, email: 'ada@x.example' },
  ],
  Funnel: [
    { step: 1, people: 2 },
    { step: 2, people: 1 },
    { step: 3, people: 1 },
  ],
  Retention: [
    { first_day: before, days_later: 0, people: 1 },
    { first_day: before, days_later: 2, people: 1 },
    { first_day: today, days_later: 0, people: 2 },
  ],
  Sessions: [
    { day: before, sessions: 1, page_views: 1, bounce_rate: 1 },
    { day: today, sessions: 2, median_seconds: 45, page_views: 2, bounce_rate: 1 },
  ],
  UTM: [
    { utm_source: '', utm_campaign: '', sessions: 2, payments: 0 },
    { utm_source: 'mail', utm_campaign: 'may', sessions: 1, payments: 1 },
  ],
  Revenue: [
    { day: today, currency: 'EUR', revenue: 19.9, payments: 1, payers: 1 },
    { day: today, currency: 'USD', revenue: 5, payments: 1, payers: 1 },
  ],
  'Errors by release': [
    { release: '1.0', errors: 0, people: 0, share: 0 },
    { release: '1.1', errors: 2, people: 2, share: 2 / 3 },
  ],
  'Web vitals': [{ page: '/', samples: 1, lcp_ms: 1200, cls: 0.1 }],
  'QR codes against clicks': [
    { link_slug: 'promo', by_qr_code: 1, by_click: 2, visitors: 2, value: 12.5 },
    { link_slug: 'seen', by_click: 1 },
  ],
  'Clicks without robots': [
    { link_slug: 'promo', clicks: 2, visitors: 2, robots: 0 },
    { link_slug: 'seen', clicks: 0, visitors: 0, robots: 1 },
  ],
}

test('every recipe is run by a test', () => {
  expect(Object.keys(expected)).toEqual(Object.keys(queries))
})

test.each(Object.keys(expected))('%s', async (heading) => {
  expect(await server.query(queries[heading]!)).toMatchObject(expected[heading] as object[])
})

test('EVENTS_COLUMNS gives properties a column', async () => {
  const sql = `SELECT property_current_url AS url FROM events WHERE property_utm_source = 'mail'`
  expect(await server.query(sql)).toEqual([{ url: 'https://shop.example/s1' }])
})

test('properties of a person: $set replaces, $set_once does not', async () => {
  const sql = `SELECT properties FROM persons WHERE person_id = 'ada'`
  const [ada] = await server.query<{ properties: string }>(sql)
  expect(JSON.parse(ada!.properties)).toEqual({ email: 'ada@x.example', first: true, plan: 'free' })
})

test('a user of telemetry is a person with its properties', async () => {
  const sql = `SELECT person_id, properties FROM persons WHERE project = 'my-app' ORDER BY person_id`
  expect(await server.query(sql)).toEqual([
    { person_id: 'u1', properties: '{"id":"u1"}' },
    { person_id: 'u2', properties: '{"id":"u2"}' },
  ])
})

test('an alias of an id that was merged later belongs to the person', async () => {
  const alias = make('$create_alias', 'anon-1', at(70), { alias: 'phone' })
  await fetch(`${server.url}/batch`, {
    method: 'POST',
    body: JSON.stringify({ api_key: 'phc_my_project', batch: [alias] }),
  })
  const sql = `SELECT person_id FROM person_distinct_ids WHERE distinct_id = 'phone'`
  const found = await until(async () => (await server.query(sql))[0], { what: 'the alias' })
  expect(found).toEqual({ person_id: 'ada' })
})
