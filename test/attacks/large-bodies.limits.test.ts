import { afterAll, beforeAll, expect, test } from 'bun:test'
import { gzipSync } from 'node:zlib'
import { expectUndisturbed, sendBeside } from '../support/beside.ts'
import { type Spillway, startSpillway } from '../support/spillway.ts'
import { until } from '../support/until.ts'

const mib = 1024 * 1024

let server: Spillway
beforeAll(async () => {
  server = await startSpillway({ ACCESS_LOG: 'false' })
  // Starts the body thread.
  await post(
    '/e',
    toBatch([{ event: 'first', distinct_id: 'u', properties: { t: 'x'.repeat(mib) } }]),
  )
})
afterAll(async () => {
  await server[Symbol.asyncDispose]()
})

async function post(path: string, body: string | Uint8Array) {
  const response = await fetch(`${server.url}${path}`, { method: 'POST', body })
  return { status: response.status, reply: await response.json() }
}

const toBatch = (batch: readonly object[]) => JSON.stringify({ api_key: 'phc_large', batch })
const toEvents = (name: string, count: number) =>
  Array.from({ length: count }, (_, n) => ({
    event: name,
    distinct_id: `u${n % 100}`,
    uuid: crypto.randomUUID(),
    properties: { n, text: 'x'.repeat(200) },
  }))

/** Recordings as rrweb writes them: deeply nested, many texts, few names. */
function toRecording(session: string, bytes: number): string {
  const node = (id: number) => ({
    type: 2,
    tagName: 'div',
    attributes: { class: `c${id} d${id % 97}`, style: `width:${id}px;${'y'.repeat(100)}` },
    childNodes: [{ type: 3, textContent: `text number ${id}`, id: id + 1 }],
    id,
  })
  const snapshot = (id: number) => ({
    type: 3,
    data: { source: 0, texts: [], adds: [{ parentId: id, nextId: null, node: node(id) }] },
    timestamp: 1_700_000_000_000 + id,
  })
  const snapshotBytes = JSON.stringify(snapshot(123_456)).length
  const data = Array.from({ length: Math.floor(bytes / snapshotBytes) - 1 }, (_, id) =>
    snapshot(id),
  )
  const properties = { $session_id: session, $snapshot_data: data }
  return JSON.stringify({ api_key: 'phc_large', event: '$snapshot', distinct_id: 'u', properties })
}

/** Ten events of 1.8 MB: one may have 2 MB. */
const longs = Array(90_000).fill('1234567890123456789').join(',')
const longEvent = `{"event":"l","distinct_id":"u","properties":{"l":[${longs}]}}`
const allLongs = `{"api_key":"phc_large","batch":[${Array(10).fill(longEvent).join(',')}]}`

test.each<[string, string, () => string | Uint8Array]>([
  ['a recording of 24 MB', '/s', () => toRecording('a', 24 * mib)],
  ['a recording of 20 MB in gzip', '/s', () => gzipSync(toRecording('b', 20 * mib), { level: 1 })],
  ['900,000 long integers', '/batch', () => allLongs],
  ['40,000 events', '/batch', () => toBatch(toEvents('many', 40_000))],
  [
    '60,000 bad events and a good one',
    '/batch',
    () =>
      toBatch([...Array(60_000).fill({ event: 'bad', properties: {} }), ...toEvents('good', 1)]),
  ],
  [
    'a form with 10 MB of base64',
    '/e',
    () => `data=${encodeURIComponent(btoa(toBatch(toEvents('form', 20_000))))}`,
  ],
])('%s is stored, and holds up nobody', async (_, path, toBody) => {
  const body = toBody()
  const beside = await sendBeside(server)
  const { status } = await post(path, body)
  await expectUndisturbed(beside)
  expect(status).toBe(200)
})

test('all events of large bodies are stored once, a retry adds none', async () => {
  const events = [...toEvents('retried', 5000), ...toEvents('retried', 1)]
  expect(await post('/batch', toBatch(events))).toEqual({ status: 200, reply: expect.anything() })
  expect((await post('/batch', toBatch(events))).status).toBe(200)
  // Events are inserted in the order of the journal, so those of the retry would be there as well.
  await post('/batch', toBatch(toEvents('after the retry', 1)))
  const count = async (name: string) => {
    const sql = `SELECT toUInt32(count()) AS n FROM events WHERE event = '${name}'`
    return (await server.query<{ n: number }>(sql))[0]!.n
  }
  await until(() => count('after the retry'), { what: 'the last event' })
  expect(await count('retried')).toBe(5001)
})

test('the dead letters of 60,000 bad events are 100, and one that counts the rest', async () => {
  const sql = 'SELECT reason, toUInt32(count()) AS n FROM dead_letters GROUP BY reason ORDER BY n'
  expect(await server.query(sql)).toEqual([
    { reason: 'more_rejected', n: 1 },
    { reason: 'missing_distinct_id', n: 100 },
  ])
})

test('work that exceeds its CPU time is ended, and later bodies are taken', async () => {
  await using strict = await startSpillway({
    BODY_WORK_MS_MAX: '100',
    TRUSTED_PROXIES: '127.0.0.1',
  })
  const send = async (body: string, ip: string) => {
    const headers = { 'x-forwarded-for': ip }
    const response = await fetch(`${strict.url}/e`, { method: 'POST', body, headers })
    return { status: response.status, reply: (await response.json()) as { error?: string } }
  }
  const beside = await sendBeside(strict)
  const first = await send(allLongs, '203.0.113.1')
  expect(first).toMatchObject({ status: 413, reply: { error: 'body_too_slow' } })
  expect((await send('{}', '203.0.113.1')).status).toBe(429)
  const small = toBatch([{ event: 'e', distinct_id: 'u', properties: { t: 'x'.repeat(200_000) } }])
  expect((await send(small, '203.0.113.2')).status).toBe(200)
  await expectUndisturbed(beside)
})
