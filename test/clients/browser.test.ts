import { afterAll, beforeAll, expect, test } from 'bun:test'
import { join } from 'node:path'
import type { Browser, Page } from 'playwright-core'
import { firstToken } from '../services/platform/support.ts'
import { type Spillway, startSpillway } from '../support/spillway.ts'
import { until } from '../support/until.ts'
import { startPage } from './browser-page.ts'
import { startChromium } from './chromium.ts'

let server: Spillway
let site: ReturnType<typeof startPage>
let browser: Browser

beforeAll(async () => {
  site = startPage()
  server = await startSpillway({
    RATE_TELEMETRY_PER_MINUTE: '0',
    POSTHOG_JS_DIR: join(import.meta.dir, '../../node_modules/posthog-js/dist'),
  })
  browser = await startChromium()
}, 300_000)
afterAll(async () => {
  await browser?.close()
  await site?.[Symbol.asyncDispose]()
  await server?.[Symbol.asyncDispose]()
})

type Sent = { kind: string; isGzipped: boolean }

/** A page of the site, its POST requests to `/e/`, and the errors and warnings of its console. */
async function openPage(): Promise<{ page: Page; consoleErrors: string[]; sent: Sent[] }> {
  const page = await (await browser.newContext()).newPage()
  const consoleErrors: string[] = []
  const sent: Sent[] = []
  page.on('request', (request) => {
    if (!request.url().startsWith(`${server.url}/e/`) || request.method() !== 'POST') return
    const isGzipped = request.postDataBuffer()?.[0] === 0x1f
    sent.push({ kind: request.resourceType(), isGzipped })
  })
  page.on('console', (line) => {
    if (['error', 'warning'].includes(line.type())) consoleErrors.push(line.text())
  })
  page.on('pageerror', (error) => void consoleErrors.push(String(error)))
  await page.goto(site.url)
  return { page, consoleErrors, sent }
}

type Row = { event: string; properties: string; uuid: string }

const rowsOf = (token: string, event: string) =>
  server.query<Row>(
    `SELECT event, properties, uuid FROM events WHERE project = '${token}' AND event = '${event}'`,
  )

const quiet = {
  autocapture: false,
  capture_pageview: false,
  disable_session_recording: true,
  // Without this the SDK drops the events: it takes a headless browser for a bot.
  opt_out_useragent_filter: true,
  request_queue_config: { flush_interval_ms: 250 },
}

/** Longer than the page is open, so that the queue is sent on unload. */
const longQueue = { flush_interval_ms: 5000 }

const transports: [string, object, string, boolean][] = [
  ['fetch, gzipped', {}, 'fetch', true],
  ['fetch, plain', { disable_compression: true }, 'fetch', false],
  ['XHR, gzipped', { api_transport: 'XHR' }, 'xhr', true],
  ['XHR, plain', { api_transport: 'XHR', disable_compression: true }, 'xhr', false],
  ['one request an event', { request_batching: false }, 'fetch', true],
]

test.each(transports)(
  'posthog-js over %s: every event is stored once',
  async (name, options, kind, isGzipped) => {
    const token = `phc_${name.replaceAll(/[^A-Za-z]/g, '')}`
    const { page, consoleErrors, sent } = await openPage()
    await page.evaluate(start, { token, host: server.url, options: { ...quiet, ...options } })
    await page.evaluate(() => {
      for (let index = 0; index < 5; index += 1) {
        const { title } = window.document
        window.posthog.capture('ordered', { index, title, emoji: '🚀' })
      }
    })
    await until(async () => (await rowsOf(token, 'ordered')).length >= 5, { timeoutMs: 20_000 })
    await page.context().close()
    const rows = await rowsOf(token, 'ordered')
    const properties = rows.map((row) => JSON.parse(row.properties))
    expect(properties.map(({ index }) => index).sort()).toEqual([0, 1, 2, 3, 4])
    expect(properties).toMatchObject(properties.map(() => ({ title: 'Shop', emoji: '🚀' })))
    // The client used the transport of this case.
    expect(new Set(sent.map((request) => request.kind))).toEqual(new Set([kind]))
    expect(new Set(sent.map((request) => request.isGzipped))).toEqual(new Set([isGzipped]))
    expect(consoleErrors).toEqual([])
  },
  60_000,
)

test.each([
  ['compressed', {}],
  ['plain', { disable_compression: true }],
])(
  'posthog-js sends its queue when the page is unloaded, %s',
  async (name, options) => {
    const token = `phc_unload_${name}`
    const { page, consoleErrors, sent } = await openPage()
    await page.evaluate(start, {
      token,
      host: server.url,
      options: { ...quiet, ...options, request_queue_config: longQueue },
    })
    await page.evaluate(() => {
      for (let index = 0; index < 3; index += 1) window.posthog.capture('leaving', { index })
      window.posthog.capture('by beacon', {}, { transport: 'sendBeacon', send_instantly: true })
    })
    await page.goto('about:blank')
    await until(async () => (await rowsOf(token, 'leaving')).length >= 3, { timeoutMs: 20_000 })
    await until(async () => (await rowsOf(token, 'by beacon')).length >= 1, { timeoutMs: 20_000 })
    expect(await rowsOf(token, 'leaving')).toHaveLength(3)
    expect(await rowsOf(token, 'by beacon')).toHaveLength(1)
    expect(new Set(sent.map(({ kind }) => kind))).toEqual(new Set(['ping']))
    expect(consoleErrors).toEqual([])
  },
  60_000,
)

test('posthog-js records a session and captures clicks', async () => {
  const token = 'phc_recording'
  const { page, consoleErrors } = await openPage()
  const options = { ...quiet, autocapture: true, capture_pageview: true }
  await page.evaluate(start, {
    token,
    host: server.url,
    options: { ...options, disable_session_recording: false },
  })
  await page.waitForFunction(() => window.posthog.sessionRecordingStarted())
  await page.click('#buy')
  await page.fill('#name', 'Ada')
  type Recording = { session_id: string; snapshot_items: string; chunks: number }
  const recordings = () =>
    server.query<Recording>(`SELECT * FROM recordings WHERE project = '${token}'`)
  await until(async () => (await recordings()).length > 0, {
    timeoutMs: 30_000,
    what: 'a recording',
  })
  for (const event of ['$pageview', '$autocapture'])
    await until(async () => (await rowsOf(token, event)).length > 0, {
      timeoutMs: 20_000,
      what: event,
    })
  const [recording] = await recordings()
  expect(recording?.session_id).toMatch(/^[0-9a-f-]{36}$/)
  expect(JSON.parse(recording?.snapshot_items ?? '')).toBeArray()
  expect(await rowsOf(token, '$pageview')).toHaveLength(1)
  expect(consoleErrors).toEqual([])
}, 60_000)

test('beacons and requests of a page reach the other contracts', async () => {
  const { page, consoleErrors } = await openPage()
  const answers = await page.evaluate(sendAll, server.url)
  expect(answers).toEqual([true, true, 201, 200, 200])
  const links = () => server.query(`SELECT event_type FROM link_events ORDER BY event_type`)
  await until(async () => (await links()).length >= 2, { timeoutMs: 20_000 })
  expect(await links()).toEqual([{ event_type: 'beacon' }, { event_type: 'fetch' }])
  const events = () =>
    server.query(
      `SELECT source, event FROM events WHERE source != 'capture' ORDER BY source, event`,
    )
  await until(async () => (await events()).length >= 3, { timeoutMs: 20_000 })
  expect(await events()).toEqual([
    { source: 'telemetry', event: 'beacon' },
    { source: 'telemetry', event: 'fetch' },
    { source: 'report', event: 'fetch' },
  ])
  expect(consoleErrors).toEqual([])
}, 60_000)

test('socket.io-client in a page upgrades from polling to websocket and exchanges messages', async () => {
  const { access_token } = await firstToken(server)
  const { page, consoleErrors } = await openPage()
  const received = await page.evaluate(exchange, { url: server.url, token: access_token })
  expect(received).toMatchObject({
    transport: 'websocket',
    message: { topic: 'public:news', payload: { hello: 'page' }, from: 'first-client' },
  })
  expect(consoleErrors).toEqual([])
}, 60_000)

// The functions below run in the page.

type Start = { token: string; host: string; options: object }

function start({ token, host, options }: Start): Promise<void> {
  return new Promise((resolve) =>
    window.posthog.init(token, { api_host: host, ...options, loaded: () => resolve() }),
  )
}

async function sendAll(url: string): Promise<unknown[]> {
  const event = (name: string) => ({
    ...{ id: name, type: 'page', name, ts: Date.now(), app: 'page', release: '1', sessionId: 's' },
  })
  const json = { 'content-type': 'application/json' }
  const post = async (path: string, body: unknown, headers: object = {}) => {
    const init = { method: 'POST', headers: { ...json, ...headers }, body: JSON.stringify(body) }
    // Reports come from mobile clients: CORS does not allow them credentials.
    const credentials = path.startsWith('/v2/') ? 'omit' : 'include'
    return (await fetch(`${url}${path}`, { ...init, credentials })).status
  }
  const form = new URLSearchParams({ data: JSON.stringify([event('beacon')]) })
  return [
    window.navigator.sendBeacon(
      `${url}/api/events/track`,
      JSON.stringify({ event_type: 'beacon' }),
    ),
    window.navigator.sendBeacon(`${url}/api/telemetry/events`, form),
    await post('/api/events/track', { event_type: 'fetch' }),
    await post('/api/telemetry/events', [event('fetch')]),
    await post(
      '/v2/users/report/events',
      { events: [{ name: 'fetch', user: 'u', sessionId: 's' }] },
      {
        ...{ 'X-API-KEY': 'key', 'X-USER-ID': 'u', 'X-APP-ID': 'a', 'X-PLATFORM': 'web' },
        ...{ 'X-VERSION': '1', 'Idempotency-Key': 'page' },
      },
    ),
  ]
}

async function exchange({ url, token }: { url: string; token: string }): Promise<unknown> {
  const options = { auth: { token: `Bearer ${token}` }, forceNew: true }
  const [reader, writer] = [window.io(url, options), window.io(url, options)]
  const once = (socket: typeof reader, event: string) =>
    new Promise<unknown>((resolve) => socket.once(event, resolve))
  await Promise.all([once(reader, 'connect'), once(writer, 'connect')])
  const engine = reader.io.engine
  if (engine.transport.name !== 'websocket')
    await new Promise<void>((resolve) => engine.once('upgrade', () => resolve()))
  const subscribed = once(reader, 'ack')
  reader.emit('subscribe', { topic: 'public:news', messageId: 'm1', timestamp: Date.now() })
  await subscribed
  const received = once(reader, 'message')
  writer.emit('publish', { topic: 'public:news', payload: { hello: 'page' }, messageId: 'm2' })
  return { transport: engine.transport.name, message: await received }
}

/** The globals of the page that this file uses. */
declare const window: {
  posthog: {
    init(token: string, options: object): void
    capture(event: string, properties: object, options?: object): void
    sessionRecordingStarted(): boolean
  }
  io(url: string, options: object): PageSocket
  document: { title: string }
  navigator: { sendBeacon(url: string, body: string | URLSearchParams): boolean }
}

type PageSocket = {
  io: { engine: { transport: { name: string }; once(event: string, then: () => void): void } }
  once(event: string, then: (value: unknown) => void): void
  emit(event: string, data: object): void
}
