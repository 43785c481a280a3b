import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type Beside, sendBeside } from '../support/beside.ts'
import { startSpillway } from '../support/spillway.ts'
import { until } from '../support/until.ts'
import { startNames } from './names.ts'

let names: Awaited<ReturnType<typeof startNames>>
let beside: Beside
beforeAll(async () => {
  names = await startNames()
  beside = await sendBeside(names.server)
}, 60_000)
afterAll(() => names?.[Symbol.asyncDispose]())

const send: typeof names.send = (...sent) => names.send(...sent)
const telemetry: typeof names.telemetry = (...sent) => names.telemetry(...sent)
const link: typeof names.link = (...sent) => names.link(...sent)

describe('a stranger cannot send for', () => {
  test.each(['phc_shop', 'nobody', 'shop ', '__proto__'])(
    'the app %j, which no project lists',
    async (app) => {
      expect(await telemetry([app])).toMatchObject({
        status: 401,
        body: { success: false, details: { code: 'unknown_app' } },
      })
      const mixed = await telemetry(['ios', app])
      expect(mixed).toMatchObject({ status: 200, body: { received: 2, processed: 1 } })
      expect(mixed.body.errors).toEqual(['events[1]: app is not an app of any project'])
    },
  )

  test.each(['nobody', 'ios', undefined])('the link project %j', async (id) => {
    expect(await link(id)).toMatchObject({ status: 401, body: { error: expect.any(String) } })
  })

  test.each([{}, { 'X-API-KEY': 'sk_shop' }, { 'X-API-KEY': 'phc_bank' }])(
    'a project that requires a key, with %j',
    async (headers) => {
      const details = { code: 'invalid_api_key' }
      expect(await telemetry(['bank-app'], headers)).toMatchObject({
        status: 401,
        body: { details },
      })
      expect(await link('bank', headers)).toMatchObject({ status: 401 })
      const mixed = await telemetry(['bank-app', 'shop'], headers)
      expect(mixed.body).toMatchObject({ processed: 1 })
    },
  )

  test('a project from a page of another origin', async () => {
    const headers = { origin: 'https://evil.example' }
    const details = { code: 'origin_not_allowed' }
    expect(await telemetry(['ios'], headers)).toMatchObject({ status: 403, body: { details } })
    expect(await link('shop', headers)).toMatchObject({ status: 403 })
    const body = { api_key: 'phc_shop', event: 'e', distinct_id: 'u' }
    expect(await send('/e', body, headers)).toMatchObject({ status: 403 })
  })
})

test('honest senders are taken, and each event belongs to the project of its app', async () => {
  const key = { 'X-API-KEY': 'sk_bank' }
  for (const origin of ['https://shop.example', 'capacitor://localhost'])
    expect(await telemetry(['ios', 'android'], { origin })).toMatchObject({ status: 200 })
  expect(await telemetry(['bank-app'], key)).toMatchObject({ status: 200 })
  expect(await link('shop')).toMatchObject({ status: 201 })
  expect(await link('bank', key)).toMatchObject({ status: 201 })
  const sql = `SELECT DISTINCT project, JSONExtractString(properties, '$app') AS app FROM events
WHERE source = 'telemetry' ORDER BY project, app`
  const expected = [
    ['bank', 'bank-app'],
    ['shop', ''],
    ['shop', 'android'],
    ['shop', 'ios'],
  ].map(([project, app]) => ({ project, app }))
  await until(async () => Bun.deepEquals(await names.server.query(sql), expected))
  const links = 'SELECT DISTINCT project_id FROM link_events ORDER BY project_id'
  const ids = [{ project_id: 'bank' }, { project_id: 'shop' }]
  await until(async () => Bun.deepEquals(await names.server.query(links), ids))
  // A refused sender leaves nothing behind.
  const letters = `SELECT reason FROM dead_letters WHERE reason IN ('unknown_app', 'invalid_api_key')`
  expect(await names.server.query(letters)).toEqual([])
})

test('telemetry and link events cannot use up the rate and the quota of capture', async () => {
  for (let count = 0; count < 3; count += 1)
    await telemetry(Array.from({ length: 10 }, () => 'small-app'))
  expect(await telemetry(['small-app'])).toMatchObject({
    status: 429,
    body: { details: { code: 'rate_limited' } },
  })
  for (let count = 0; count < 4; count += 1) await link('small')
  expect(await link('small')).toMatchObject({ status: 429 })
  const batch = Array.from({ length: 6 }, (_, index) => ({ event: `e${index}`, distinct_id: 'u' }))
  expect(await send('/batch', { api_key: 'phc_small', batch })).toEqual({
    status: 200,
    body: { code: 1, status: 'ok', quota_limited: ['events'] },
  })
  const sql = `SELECT source, toUInt32(count()) AS n FROM events WHERE project = 'small'
GROUP BY source ORDER BY source`
  const expected = [
    { source: 'capture', n: 5 },
    { source: 'telemetry', n: 5 },
  ]
  await until(async () => Bun.deepEquals(await names.server.query(sql), expected))
})

test('a sender beside them loses nothing', async () => {
  const { acknowledged, failures } = await beside.end()
  expect(failures).toEqual([])
  expect(acknowledged).toBeGreaterThan(10)
})

test('one address cannot send link events without end', async () => {
  await using limited = await startSpillway({ RATE_LINK_PER_MINUTE: '20' })
  const statuses: number[] = []
  for (let count = 0; count < 30; count += 1) {
    const body = JSON.stringify({ event_type: 'click', project_id: `p${count}` })
    const response = await fetch(`${limited.url}/api/events/track`, { method: 'POST', body })
    if (response.status === 429)
      expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0)
    statuses.push(response.status)
  }
  expect(statuses.filter((status) => status === 429).length).toBeGreaterThan(5)
}, 60_000)
