import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import zlib from 'node:zlib'
import { intakeIsEmpty } from '../support/intake.ts'
import { rawHttp } from '../support/raw-http.ts'
import { type Spillway, startSpillway } from '../support/spillway.ts'
import { until } from '../support/until.ts'
import { routes } from './hostile-corpus.ts'

/**
 * Repeated headers that differ. The server must reply or refuse, must not hang, and must hold
 * nothing afterwards.
 */
let server: Spillway
beforeAll(async () => {
  server = await startSpillway({
    ACCESS_LOG: 'false',
    BODY_TIMEOUT_MS: '500',
    RATE_TELEMETRY_PER_MINUTE: '0',
    RATE_AUTH_PER_MINUTE: '0',
  })
}, 60_000)
afterAll(async () => {
  await server[Symbol.asyncDispose]()
})

const event = (distinctId: string) =>
  JSON.stringify({ api_key: 'phc_twice', event: 'twice', distinct_id: distinctId })
const body = Buffer.from(event('d'))
const bytes = body.length
const gzipped = zlib.gzipSync(body)

type Case = [name: string, headers: string[], sent?: Uint8Array]

/**
 * Ambiguous framing: a proxy and the server could see the next request begin at different bytes.
 */
const framings: Case[] = [
  ['two lengths, the first too short', ['Content-Length: 3', `Content-Length: ${bytes}`]],
  ['two lengths, the second too short', [`Content-Length: ${bytes}`, 'Content-Length: 3']],
  ['two lengths, one too long', [`Content-Length: ${bytes}`, `Content-Length: ${bytes + 9}`]],
  ['two lengths in one', [`Content-Length: ${bytes}, ${bytes}`]],
  ['two lengths, one no number', [`Content-Length: ${bytes}`, 'Content-Length: x']],
  ['a length and chunks', [`Content-Length: ${bytes}`, 'Transfer-Encoding: chunked']],
  ['chunks twice', ['Transfer-Encoding: chunked', 'Transfer-Encoding: identity']],
]

const pairs: Case[] = [
  ['one length twice', [`Content-Length: ${bytes}`, `Content-Length: ${bytes}`]],
  ['two encodings', ['Content-Encoding: gzip', 'Content-Encoding: br'], gzipped],
  ['one encoding twice', ['Content-Encoding: gzip', 'Content-Encoding: gzip'], gzipped],
  ['two encodings for neither', ['Content-Encoding: zstd', 'Content-Encoding: deflate']],
  [
    'two types',
    ['Content-Type: application/json', 'Content-Type: application/x-www-form-urlencoded'],
  ],
  ['two types, one hostile', ['Content-Type: multipart/form-data', 'Content-Type: \x01;=;,']],
  ['two origins', ['Origin: https://one.example', 'Origin: https://other.example']],
  ['no origin and another', ['Origin: null', 'Origin: ']],
  ['two hosts', ['Host: other']],
  [
    'two tokens',
    ['Authorization: Bearer a', 'Authorization: Basic b', 'X-Api-Key: a', 'X-Api-Key: b'],
  ],
  ['two addresses', ['X-Forwarded-For: ::1', 'X-Forwarded-For: ,,%', 'X-Forwarded-For: 1.2.3.4']],
]

const hasLength = (headers: readonly string[]) =>
  headers.some((header) => /^(Content-Length|Transfer-Encoding)/.test(header))

type Sent = {
  path: string
  headers: readonly string[]
  sent: Uint8Array
  /** Whether the server must close the connection. */
  isLast?: boolean
}

/** Sends one request on its own connection. Returns the statuses of all replies. */
async function send({ path, headers, sent, isLast = false }: Sent): Promise<number[]> {
  const connection = await rawHttp(server.url)
  const length = hasLength(headers) ? [] : [`Content-Length: ${sent.length}`]
  const head = [`POST ${path} HTTP/1.1`, 'Host: localhost', ...length, ...headers].join('\r\n')
  connection.send(Buffer.concat([Buffer.from(`${head}\r\n\r\n`, 'latin1'), sent]))
  const isAnswered = () => connection.isClosed() || /^HTTP\S+ \d/.test(connection.received())
  await until(isAnswered, { timeoutMs: 20_000, what: `a reply of ${path}` })
  if (isLast) await connection.closed()
  connection.destroy()
  return [...connection.received().matchAll(/^HTTP\/1\.1 (\d{3})/gm)].map(([, code]) =>
    Number(code),
  )
}

async function expectSound(): Promise<void> {
  await intakeIsEmpty(server.url)
  const id = crypto.randomUUID()
  const sent = Buffer.from(event(id))
  expect(await send({ path: '/batch', headers: [], sent })).toEqual([200])
  const found = () => server.query(`SELECT uuid FROM events WHERE distinct_id = '${id}'`)
  await until(async () => (await found()).length === 1, { timeoutMs: 30_000, what: 'the event' })
}

describe('to every route', () => {
  test.each(framings)('refuses %s once and closes the connection', async (_, headers) => {
    // A second request, which a server that uses the shorter length would read.
    const sent = Buffer.concat([body, Buffer.from('GET /_liveness HTTP/1.1\r\nHost: a\r\n\r\n')])
    const all = routes.map((path) => send({ path, headers, sent, isLast: true }))
    expect(await Promise.all(all)).toEqual(routes.map(() => [400]))
    await expectSound()
  })

  test.each(pairs)('gives one reply below 500 to %s', async (_, headers, sent = body) => {
    const all = await Promise.all(routes.map((path) => send({ path, headers, sent })))
    expect(all.map(({ length }) => length)).toEqual(routes.map(() => 1))
    expect(all.flat().filter((status) => status >= 500 && status !== 503)).toEqual([])
    await expectSound()
  })
})
