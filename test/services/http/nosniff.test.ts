import { afterAll, beforeAll, expect, test } from 'bun:test'
import { type Spillway, startSpillway } from '../../support/spillway.ts'

let server: Spillway
beforeAll(async () => {
  server = await startSpillway({ CLICKHOUSE_URL: 'http://127.0.0.1:1' })
}, 60_000)
afterAll(() => server?.[Symbol.asyncDispose]())

const post = (body: string) => ({ method: 'POST', body })
const event = '{"api_key":"phc_a","event":"<b>","distinct_id":"u"}'

/** Bodies that repeat what a client sent must not become HTML in a browser. */
test.each<[string, string, RequestInit]>([
  ['an event', '/e', post(event)],
  ['an invalid body', '/e', post('<script>')],
  ['a rejected event', '/batch', post('{"api_key":"phc_a","batch":[{"event":"<b>"}]}')],
  ['a body above 128 KiB', '/e', post(event.replace('<b>', 'x'.repeat(200_000)))],
  ['a pixel', `/e?data=${btoa(event)}&img=1`, {}],
  ['v1', '/i/v1/analytics/events', post('<b>')],
  ['a link event', '/api/events/track', post('{"event_type":"<b>"}')],
  ['a bad link event', '/api/events/track', post('<b>')],
  ['telemetry', '/api/telemetry/events', post('[{"id":"<b>"}]')],
  ['a report', '/users/report/events', post('<b>')],
  ['flags', '/flags', post(event)],
  ['the configuration of a token', '/array/phc_a/config.js', {}],
  ['the configuration of the SDK', '/api/sdk/config?app=<b>', {}],
  ['a token request', '/api/auth/token', post('<b>')],
  ['a verification', '/api/auth/verify', { headers: { authorization: 'Bearer <b>' } }],
  ['an unknown path', '/<script>', {}],
  ['an unknown method', '/e', { method: 'DELETE' }],
  ['readiness', '/_readiness', {}],
  ['metrics', '/metrics', {}],
  ['a handshake', '/socket.io/?EIO=4&transport=polling', {}],
  ['a bad handshake', '/socket.io/?EIO=<b>&transport=<b>', {}],
])('browsers must not guess the type of the reply to %s', async (_, path, init) => {
  const reply = await fetch(`${server.url}${path}`, init)
  await reply.text()
  expect(reply.headers.get('x-content-type-options')).toBe('nosniff')
})
