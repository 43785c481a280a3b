import { afterAll, beforeAll, expect, test } from 'bun:test'
import { rawHttp } from '../../support/raw-http.ts'
import { type Spillway, startSpillway } from '../../support/spillway.ts'
import { until } from '../../support/until.ts'

let server: Spillway
beforeAll(async () => {
  server = await startSpillway()
}, 60_000)
afterAll(() => server?.[Symbol.asyncDispose]())

const toEvent = (event: string) => ({ event, distinct_id: 'd', api_key: 'phc_habits' })

const countOf = async (event: string) => {
  const sql = `SELECT toUInt32(count()) AS count FROM events WHERE event = '${event}'`
  return (await server.query<{ count: number }>(sql))[0]!.count
}

const send = (path: string, event: string, init: RequestInit = {}) =>
  fetch(server.url + path, { method: 'POST', body: JSON.stringify(toEvent(event)), ...init })

test('answers HEAD as GET, without a body, and stores nothing', async () => {
  const data = encodeURIComponent(JSON.stringify(toEvent('previewed')))
  const reply = await fetch(`${server.url}/e/?data=${data}`, { method: 'HEAD' })
  expect(reply.status).toBe(200)
  expect(reply.headers.get('content-type')).toBe('application/json')
  expect((await fetch(`${server.url}/e/?data=${data}&n=2`)).status).toBe(200)
  await until(async () => (await countOf('previewed')) > 0, { what: 'the event of GET' })
  expect(await countOf('previewed')).toBe(1)
})

test.each(['//batch/', '//e', '//s/'])('knows the path %s', async (path) => {
  const { status } = await send(path, 'doubled')
  expect(status).toBe(path === '//s/' ? 400 : 200)
})

test('stores the event of a FormData beacon', async () => {
  const body = new FormData()
  body.set('data', JSON.stringify(toEvent('beacon')))
  expect((await fetch(`${server.url}/e/`, { method: 'POST', body })).status).toBe(200)
  await until(async () => (await countOf('beacon')) === 1, { what: 'the event of the beacon' })
})

test('reads headers in UTF-8', async () => {
  const http = await rawHttp(server.url)
  const body = JSON.stringify({ events: [{ name: 'named', user: 'u', sessionId: 's' }] })
  const head = [
    'POST /users/report/events HTTP/1.1',
    ...['Host: x', 'Content-Type: application/json', `Content-Length: ${body.length}`],
    ...['X-API-KEY: k', 'X-USER-ID: 用户', 'X-APP-ID: a', 'X-PLATFORM: ios', 'X-VERSION: 1'],
    ...['User-Agent: Zoë/1.0', '', ''],
  ].join('\r\n')
  http.send(Buffer.from(head + body))
  expect(await http.status()).toBe(200)
  http.destroy()
  await until(async () => (await countOf('named')) === 1, { what: 'the reported event' })
  const [row] = await server.query<{ user_agent: string; id: string }>(
    `SELECT user_agent, JSONExtractString(properties, '$user_id') AS id FROM events WHERE event = 'named'`,
  )
  expect(row).toEqual({ user_agent: 'Zoë/1.0', id: '用户' })
})
