import { afterAll, beforeAll, expect, test } from 'bun:test'
import fc from 'fast-check'
import { intakeIsEmpty, memoryOf } from '../support/intake.ts'
import { scrape } from '../support/metrics.ts'
import { type Spillway, startSpillway } from '../support/spillway.ts'
import { until } from '../support/until.ts'
import { bombs, months, packings, routes, texts } from './hostile-corpus.ts'
import { body, request } from './hostile-values.ts'

/** Any input to any route gets a reply below 500, and valid events are still stored. */
let server: Spillway
beforeAll(async () => {
  server = await startSpillway({
    ACCESS_LOG: 'false',
    RATE_TELEMETRY_PER_MINUTE: '0',
    RATE_AUTH_PER_MINUTE: '0',
    RATE_SOCKET_PER_MINUTE: '0',
  })
})
afterAll(async () => {
  await server[Symbol.asyncDispose]()
})

const mib = 1024 * 1024
const replyMsMax = 30_000

type Sent = {
  path: string
  method?: string
  body?: Uint8Array | string
  headers?: Record<string, string>
}

/**
 * The status of the reply. A connection that the server closes while the body is sent counts as
 * refused.
 */
async function send({ path, method = 'POST', body, headers = {} }: Sent): Promise<number> {
  const url = `${server.url}${path}`
  const signal = AbortSignal.timeout(replyMsMax)
  const bodyOf = method === 'GET' || method === 'HEAD' ? {} : { body: body ?? '' }
  const response = await fetch(url, { method, headers, signal, redirect: 'manual', ...bodyOf })
  await response.arrayBuffer()
  return response.status
}

const isFault = (status: number) => status >= 500 && status !== 503

/** Sends many requests at a time. Returns those whose reply was 500 or above. */
async function faultsOf(all: readonly Sent[]): Promise<string[]> {
  const faults: string[] = []
  const waiting = [...all]
  const work = async () => {
    for (let sent = waiting.pop(); sent; sent = waiting.pop()) {
      const status = await send(sent)
      if (isFault(status)) faults.push(`${status} ${sent.path} ${String(sent.body).slice(0, 200)}`)
    }
  }
  await Promise.all(Array.from({ length: 8 }, work))
  return faults
}

/**
 * A valid event is stored, the server holds no memory, and no sink rejected a row or sent a block
 * twice.
 */
async function expectSound(): Promise<void> {
  const id = crypto.randomUUID()
  const body = JSON.stringify({ api_key: 'phc_good', event: 'good', distinct_id: id })
  expect(await send({ path: '/batch', body })).toBe(200)
  const found = () => server.query(`SELECT uuid FROM events WHERE distinct_id = '${id}'`)
  await until(async () => (await found()).length === 1, {
    timeoutMs: 60_000,
    what: 'the valid event',
  })
  await intakeIsEmpty(server.url)
  const read = await scrape(server.url)
  expect(read('spillway_sink_dead_lettered_total')).toBe(0)
  expect(read('spillway_sink_retries_total')).toBe(0)
}

const reportHeaders = {
  'x-api-key': 'key',
  'x-user-id': 'u',
  'x-app-id': 'a',
  'x-platform': 'ios',
  'x-version': '1',
}

test('replies to every text in every encoding on every route', async () => {
  const all = routes.flatMap((path) =>
    texts.flatMap((text) =>
      packings.map(({ pack, headers }) => ({
        path,
        body: pack(text),
        headers: { ...reportHeaders, ...headers },
      })),
    ),
  )
  expect(all.length).toBeGreaterThan(2000)
  expect(await faultsOf(all)).toEqual([])
  await expectSound()
}, 120_000)

/** One route of each contract gets every bomb: the routes of a contract share their decoder. */
const bombed = [
  ...['/batch/', '/s', '/api/events/track', '/v2/users/report/events'],
  ...['/api/telemetry/events', '/api/auth/token'],
]

test('refuses decompression bombs of every codec on every route, in bounded memory', async () => {
  const before = memoryOf(server.pid())
  before.reset()
  // The bombs are distributed over the other routes: each route gets some, and each bomb is sent to
  // some.
  const others = routes.filter((path) => !bombed.includes(path))
  const pairs = [
    ...bombed.flatMap((path) => bombs.map((bomb) => ({ path, bomb }))),
    ...others.flatMap((path, place) =>
      bombs.filter((_, index) => index % 4 === place % 4).map((bomb) => ({ path, bomb })),
    ),
  ]
  const all = pairs.map(({ path, bomb }) => ({ ...bomb, path: path + bomb.query }))
  expect(await faultsOf(all)).toEqual([])
  expect(memoryOf(server.pid()).peakBytes - before.nowBytes).toBeLessThan(768 * mib)
  await expectSound()
}, 120_000)

test('stores events of every year and of 200 months in one request', async () => {
  const id = crypto.randomUUID()
  const batch = months.map((timestamp, index) => ({
    event: 'dated',
    distinct_id: id,
    timestamp,
    properties: { index },
  }))
  const body = JSON.stringify({ api_key: 'phc_months', batch })
  expect(await send({ path: '/batch', body })).toBe(200)
  const found = () => server.query(`SELECT uuid FROM events WHERE distinct_id = '${id}'`)
  await until(async () => (await found()).length === months.length, {
    timeoutMs: 60_000,
    what: 'all months',
  })
  await expectSound()
}, 60_000)

test('replies to values of every type in every place, and stores the accepted ones', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.constantFrom(...routes), body), { minLength: 60, maxLength: 60 }),
      async (sent) => {
        const all = sent.map(([path, text]) => ({ path, body: text, headers: reportHeaders }))
        expect(await faultsOf(all)).toEqual([])
      },
    ),
    { numRuns: 40, endOnFailure: true },
  )
  await expectSound()
}, 120_000)

test('replies to any method, path, query and headers', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(request, { minLength: 40, maxLength: 40 }), async (sent) => {
      const all = sent.map((one) => ({ ...one, path: one.path + one.query }))
      expect(await faultsOf(all)).toEqual([])
    }),
    { numRuns: 30, endOnFailure: true },
  )
  await expectSound()
}, 120_000)
