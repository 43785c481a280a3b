import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import zlib from 'node:zlib'
import { temporaryFolder } from '../../support/folder.ts'
import { type Spillway, startSpillway } from '../../support/spillway.ts'
import { atLeast, post } from './support.ts'

/** PostHog's endpoint v1 over HTTP: encodings, limits, results, dead letters. */

const projects = `
[[projects]]
id = "shop"
tokens = ["phc_shop"]

[[projects]]
id = "small"
tokens = ["phc_small"]
quotas = { events = { max = 2, period = "day" } }

[[projects]]
id = "large"
tokens = ["phc_large"]
quotas = { events = { max = 2, period = "day" } }

[[projects]]
id = "slow"
tokens = ["phc_slow"]
rate = { per_second = 1, burst = 1 }
`

let folder: ReturnType<typeof temporaryFolder>
let server: Spillway
beforeAll(async () => {
  folder = temporaryFolder()
  const path = join(folder.path, 'projects.toml')
  writeFileSync(path, projects)
  server = await startSpillway({ PROJECTS_FILE: path })
}, 60_000)
afterAll(async () => {
  await server?.[Symbol.asyncDispose]()
  folder[Symbol.dispose]()
})

const toEvent = (changes: object = {}) => ({
  event: 'ordered',
  uuid: crypto.randomUUID(),
  distinct_id: 'u1',
  timestamp: new Date().toISOString(),
  options: {},
  properties: {},
  ...changes,
})
const toBatch = (...batch: object[]) => ({ created_at: new Date().toISOString(), batch })

const send = (body: unknown, headers: Record<string, string> = {}, token = 'phc_shop') =>
  post(`${server.url}/i/v1/analytics/events`, body, {
    authorization: `Bearer ${token}`,
    ...headers,
  })

const ok = { result: 'ok', details: null }
const stored = (uuid: string) => server.query(`SELECT event FROM events WHERE uuid = '${uuid}'`)

/** At its default, brotli takes seconds for the large body. */
const quick = { [zlib.constants.BROTLI_PARAM_QUALITY]: 1 }

const encodings: [string, string, (text: string) => Uint8Array][] = [
  ['gzip', 'gzip', (text) => zlib.gzipSync(text)],
  ['deflate in the zlib format', 'deflate', (text) => zlib.deflateSync(text)],
  ['raw deflate', 'deflate', (text) => zlib.deflateRawSync(text)],
  ['br', 'br', (text) => zlib.brotliCompressSync(text, { params: quick })],
  ['zstd', 'zstd', (text) => zlib.zstdCompressSync(text)],
]

describe.each(encodings)('%s', (_, encoding, compress) => {
  test('is accepted, and the event stored', async () => {
    const event = toEvent()
    const headers = { 'content-encoding': encoding }
    const reply = await send(compress(JSON.stringify(toBatch(event))), headers)
    expect(reply).toMatchObject({ status: 200, body: { results: { [event.uuid]: ok } } })
    expect(await atLeast(1, () => stored(event.uuid), event.uuid)).toHaveLength(1)
  })

  test('is bounded while it is decoded', async () => {
    const bomb = compress(' '.repeat(64 * 1024 * 1024))
    const reply = await send(bomb, { 'content-encoding': encoding })
    expect(reply).toMatchObject({ status: 413, body: { error: 'body_too_large' } })
  })

  test('that is damaged gets 400', async () => {
    const reply = await send(compress('{').slice(0, -1), { 'content-encoding': encoding })
    expect(reply.status).toBe(400)
  })
})

test('a path with a slash, a preflight, and other methods', async () => {
  const url = `${server.url}/i/v1/analytics/events`
  const headers = { authorization: 'Bearer phc_shop' }
  expect((await post(`${url}/`, toBatch(toEvent()), headers)).status).toBe(200)
  const preflight = await fetch(url, { method: 'OPTIONS', headers: { origin: 'https://shop' } })
  expect(preflight.status).toBe(204)
  expect((await fetch(url)).status).toBe(405)
})

const uuid = '019a0000-0000-7000-8000-000000000001'
test.each<[number, string, Record<string, string>, unknown]>([
  [401, 'missing_token', { authorization: '' }, {}],
  [401, 'unknown_token', { authorization: 'Bearer phc_other' }, toBatch(toEvent())],
  [415, 'unsupported_content_type', { 'content-type': 'text/plain' }, {}],
  [415, 'unsupported_encoding', { 'content-encoding': 'lzma' }, {}],
  [400, 'empty_body', {}, ''],
  [400, 'invalid_json', {}, '{"batch":['],
  [400, 'empty_batch', {}, toBatch()],
  [400, 'missing_event_uuid', {}, toBatch(toEvent({ uuid: '' }))],
  [400, 'duplicate_event_uuid', {}, toBatch(toEvent({ uuid }), toEvent({ uuid }))],
  [413, 'body_too_large', {}, `{"a":"${'x'.repeat(21 * 1024 * 1024)}"}`],
])('%i %s in the form of v1, with the request id', async (status, error, headers, body) => {
  const id = crypto.randomUUID()
  const reply = await send(body, { 'posthog-request-id': id, ...headers })
  expect(reply).toMatchObject({ status, body: { error } })
  expect(Object.keys(reply.body as object)).toEqual(['error', 'error_description', 'error_uri'])
  expect(reply.headers.get('posthog-request-id')).toBe(id)
  expect(reply.headers.get('date')).toBeString()
})

test('a retry of a stored event is ok, and stores nothing', async () => {
  const event = toEvent()
  for (const attempt of ['1', '2'])
    expect((await send(toBatch(event), { 'posthog-attempt': attempt })).body).toEqual({
      results: { [event.uuid]: ok },
    })
  // The same event by another route is a duplicate, too.
  const batch = { api_key: 'phc_shop', batch: [event] }
  expect((await post(`${server.url}/batch`, batch)).status).toBe(200)
  const last = toEvent()
  await send(toBatch(last))
  await atLeast(1, () => stored(last.uuid), last.uuid)
  expect(await stored(event.uuid)).toHaveLength(1)
})

test('rejected events become dead letters', async () => {
  const [good, bad] = [toEvent(), toEvent({ timestamp: 'soon' })]
  const { body } = await send(toBatch(bad, good))
  const drop = { result: 'drop', details: 'invalid_event_timestamp' }
  expect(body).toEqual({ results: { [bad.uuid]: drop, [good.uuid]: ok } })
  const sql = `SELECT reason FROM dead_letters WHERE raw LIKE '%${bad.uuid}%'`
  expect(await atLeast(1, () => server.query(sql), sql)).toHaveLength(1)
})

test.each([
  ['phc_small', 1],
  // Above 128 KiB the body thread finds the results.
  ['phc_large', 200_000],
])('events above the quota are dropped for billing, by %s', async (token, length) => {
  const properties = { text: 'x'.repeat(length) }
  // The stored uuid of the last one is another.
  const last = toEvent({ uuid: `019a0000-0000-8000-8000-00000${length + 1_000_000}` })
  const events = [toEvent({ properties }), toEvent(), last]
  const { status, body } = await send(toBatch(...events), {}, token)
  expect(status).toBe(200)
  const drop = { result: 'drop', details: 'billing_limit_exceeded' }
  expect(Object.values((body as { results: object }).results)).toEqual([ok, ok, drop])
})

test('requests above the rate get 429 with Retry-After', async () => {
  const replies = [0, 1, 2].map(() => send(toBatch(toEvent()), {}, 'phc_slow'))
  const refused = (await Promise.all(replies)).find(({ status }) => status === 429)
  expect(refused).toMatchObject({ body: { error: 'rate_limited' } })
  expect(Number(refused?.headers.get('retry-after'))).toBeGreaterThan(0)
})
