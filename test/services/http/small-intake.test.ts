import { afterAll, beforeAll, expect, test } from 'bun:test'
import { bodyBytesMax, recordingBodyBytesMax } from '../../../src/core/limits.ts'
import { freePort } from '../../support/port.ts'
import { type Spillway, startSpillway } from '../../support/spillway.ts'

const mib = 1024 * 1024
const share = 64 / 208
const largest = Math.floor(bodyBytesMax * share)
const largestRecording = Math.floor(recordingBodyBytesMax * share)

let server: Spillway
beforeAll(async () => {
  server = await startSpillway({
    INTAKE_BYTES_MAX: String(64 * mib),
    REPORT_EVENTS_MAX: '100000',
    // No server listens there: the test is about the intake.
    CLICKHOUSE_URL: `http://127.0.0.1:${freePort()}`,
  })
}, 60_000)
afterAll(() => server?.[Symbol.asyncDispose]())

type Options = { headers?: Record<string, string>; isChunked?: boolean }

async function post(path: string, body: string, { headers = {}, isChunked = false }: Options = {}) {
  const sent = isChunked ? new Blob([body]).stream() : body
  const init = { method: 'POST', body: sent, headers }
  const response = await fetch(server.url + path, init)
  return { status: response.status, text: await response.text() }
}

/** A capture batch of exactly `bytes`. */
function toBatch(bytes: number): string {
  const event = { event: 'e', distinct_id: 'u', properties: { text: 'x'.repeat(1000) } }
  const head = '{"api_key":"phc_t","batch":['
  const text = JSON.stringify(event)
  const events = Math.floor((bytes - head.length - 2) / (text.length + 1))
  return `${head}${Array(events).fill(text).join()}]}`.padEnd(bytes)
}

test.each([false, true])('accepts the largest body, chunked: %p', async (isChunked) => {
  const { status } = await post('/batch', toBatch(largest), { isChunked })
  expect(status).toBe(200)
})

const json = { 'Content-Type': 'application/json' }
test.each([
  ['/batch', largest, {}],
  ['/i/v0/e', largest, {}],
  ['/s', largestRecording, {}],
  ['/i/v1/analytics/events', largest, { ...json, Authorization: 'Bearer phc_t' }],
  ['/api/events/track', largest, json],
  ['/api/telemetry/events', largest, json],
  ['/v2/users/report/events', largest, { ...json, 'X-USER-ID': 'u', 'X-API-Key': 'k' }],
])('%s refuses a larger body with the limit in its reply', async (path, bytesMax, headers) => {
  for (const isChunked of [false, true]) {
    const reply = await post(path, ' '.repeat(bytesMax + 1), { headers, isChunked })
    expect(reply.status).toBe(413)
    expect(reply.text).toContain(String(bytesMax))
  }
})

test('neither refuses a dense body for lack of memory, nor lets it take more', async () => {
  const withValues = (count: number) => {
    const values = Array(count).fill('[]').join()
    return `{"api_key":"phc_t","event":"e","distinct_id":"u","properties":{"a":[${values}]}}`
  }
  expect((await post('/e', withValues(600_000))).status).toBe(200)
  const refused = await post('/e', withValues(2_000_000))
  expect([refused.status, refused.text]).toEqual([413, expect.stringContaining('more values')])
  // A small event still passes.
  expect((await post('/e', withValues(1))).status).toBe(200)
})
