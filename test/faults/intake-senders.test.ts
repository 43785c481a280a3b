import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { intakeIsEmpty } from '../support/intake.ts'
import { type RawHttp, rawHttp } from '../support/raw-http.ts'
import { type Spillway, startSpillway } from '../support/spillway.ts'
import { until } from '../support/until.ts'

/** Senders that are slow, stop or disconnect get the correct reply, and leave no memory charged. */
let server: Spillway
beforeAll(async () => {
  server = await startSpillway({ BODY_TIMEOUT_MS: '300', ACCESS_LOG: 'false' })
})
afterAll(async () => {
  await server[Symbol.asyncDispose]()
})

const event = (distinctId: string) =>
  JSON.stringify({ api_key: 'phc_t', event: 'sent', distinct_id: distinctId })
const announced = (path: string, bytes: number) =>
  `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${bytes}\r\n\r\n`
const chunked = (path: string) =>
  `POST ${path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n`

async function expectNothingHeld(): Promise<void> {
  await intakeIsEmpty(server.url)
  const url = `${server.url}/batch`
  expect((await fetch(url, { method: 'POST', body: event('after') })).status).toBe(200)
}

const timeouts = {
  '/batch': '"error":"body_timeout"',
  '/s/': '"error":"body_timeout"',
  '/api/events/track': '"error":"the body did not arrive',
  '/users/report/events': '"code":"BODY_TIMEOUT"',
  '/v2/users/report/events': '"code":"BODY_TIMEOUT"',
  '/api/telemetry/events': '"code":"body_timeout"',
}
const starts: [string, (path: string) => string][] = [
  ['an announced body', (path) => announced(path, 1000) + event('slow')],
  ['a large body', (path) => announced(path, 2_000_000) + 'x'.repeat(300_000)],
  ['a chunked body', (path) => `${chunked(path)}5\r\n{"a":\r\n`],
  ['no body at all', (path) => announced(path, 1000)],
]

describe.each(Object.entries(timeouts))('a sender that stops midway, to %s', (path, words) => {
  test.each(starts)(
    '%s: replies 408 in the form of the contract, and closes the connection',
    async (_, start) => {
      const connection = await rawHttp(server.url)
      connection.send(start(path))
      expect(await connection.status()).toBe(408)
      await connection.closed()
      expect(connection.received()).toContain(words)
      expect(connection.received().toLowerCase()).toContain('connection: close')
      await expectNothingHeld()
    },
  )
})

test('a body that arrives too slowly is refused, however steadily it comes', async () => {
  const connection = await rawHttp(server.url)
  connection.send(announced('/batch', 1_000_000))
  const trickle = () => {
    connection.send('x')
    return connection.received() !== ''
  }
  await until(trickle, { timeoutMs: 20_000, pauseMs: 50 })
  expect(await connection.status()).toBe(408)
  await connection.closed()
  await expectNothingHeld()
})

const departures: [string, (connection: RawHttp) => void][] = [
  ['disconnects', (connection) => connection.destroy()],
  ['half-closes the connection', (connection) => connection.finish()],
]
describe.each(departures)('a sender that %s midway', (_, depart) => {
  test.each(starts)('of %s leaves no memory charged', async (_name, start) => {
    const connections = await Promise.all(Array.from({ length: 20 }, () => rawHttp(server.url)))
    for (const connection of connections) connection.send(start('/batch'))
    for (const connection of connections) depart(connection)
    await expectNothingHeld()
  })
})

test('stores the event of a sender that disconnects before the reply', async () => {
  const connection = await rawHttp(server.url)
  const body = event('gone')
  connection.send(announced('/batch', body.length) + body)
  connection.finish()
  const stored = () => server.query("SELECT uuid FROM events WHERE distinct_id = 'gone'")
  await until(async () => (await stored()).length === 1, { what: 'the event' })
  await expectNothingHeld()
})

test('closes connections with endless headers or without a request', async () => {
  const connections = await Promise.all([rawHttp(server.url), rawHttp(server.url)])
  connections[0].send('POST /batch HTTP/1.1\r\nHost: loc')
  for (const connection of connections) await connection.closed(60_000)
  await expectNothingHeld()
}, 70_000)
