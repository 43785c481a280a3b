import { afterAll, beforeAll, expect, test } from 'bun:test'
import { type Spillway, startSpillway } from '../../support/spillway.ts'

let server: Spillway
beforeAll(async () => {
  // Events stay in the journal: this ClickHouse does not exist.
  server = await startSpillway({ CLICKHOUSE_URL: 'http://127.0.0.1:1' })
}, 60_000)
afterAll(() => server?.[Symbol.asyncDispose]())

const body = '{"api_key":"phc_test","event":"e","distinct_id":"u"}'

test.each([
  ['a', {}],
  ['app', {}],
  ['app', { Origin: 'http://a' }],
  ['localhost', {}],
  ['events.shop.example', { Origin: 'https://shop.example' }],
  ['[::1]:3000', {}],
])('accepts the host name %s with %j', async (host, headers) => {
  const sent = { method: 'POST', body, headers: { ...headers, Host: host } }
  expect((await fetch(`${server.url}/e/`, sent)).status).toBe(200)
})
