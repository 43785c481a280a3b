import { afterAll, beforeAll, expect, test } from 'bun:test'
import { gzipSync } from 'node:zlib'
import { intakeIsEmpty, memoryOf } from '../support/intake.ts'
import { freePort } from '../support/port.ts'
import { rawHttp } from '../support/raw-http.ts'
import { type Spillway, startSpillway } from '../support/spillway.ts'

const mib = 1024 * 1024
const requests = 600
const intakeBytes = 256 * mib
/**
 * 10 % for memory that the allocator has freed and not yet returned. Without limits these requests
 * would take 12 GB.
 */
const growthBytesMax = 1.1 * intakeBytes
/** They fill the recent records of the journal, whose memory does not belong to the intake. */
const warmingBodies = 4

let server: Spillway
beforeAll(async () => {
  server = await startSpillway({
    ACCESS_LOG: 'false',
    INTAKE_BYTES_MAX: String(intakeBytes),
    // No server listens there. The embedded ClickHouse would use memory for accepted events, within
    // its own limits.
    CLICKHOUSE_URL: `http://127.0.0.1:${freePort()}`,
  })
})
afterAll(async () => {
  await server[Symbol.asyncDispose]()
})

const large = (() => {
  const event = JSON.stringify({
    event: 'large',
    distinct_id: 'u',
    properties: { text: 'x'.repeat(1000) },
  })
  const events = Math.floor((20 * mib - 100) / (event.length + 1))
  return Buffer.from(`{"api_key":"phc_t","batch":[${`${event},`.repeat(events - 1)}${event}]}`)
})()

function postSmall(): Promise<Response> {
  const body = JSON.stringify({ api_key: 'phc_t', event: 'small', distinct_id: 'u' })
  return fetch(`${server.url}/batch`, { method: 'POST', body, keepalive: false })
}

/**
 * Sends as fast as the server reads, until there is a reply. Returns the status, and whether it
 * says when to retry.
 */
async function postLarge(body: Uint8Array, isChunked: boolean): Promise<string> {
  const connection = await rawHttp(server.url)
  const length = isChunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${body.length}`
  connection.send(`POST /batch HTTP/1.1\r\nHost: localhost\r\n${length}\r\n\r\n`)
  for (let at = 0; at < body.length && connection.received() === ''; at += pieceBytes) {
    const piece = body.subarray(at, at + pieceBytes)
    if (isChunked) connection.send(`${piece.length.toString(16)}\r\n`)
    await connection.sendAll(piece)
    if (isChunked) connection.send('\r\n')
  }
  if (isChunked) connection.send('0\r\n\r\n')
  const status = await connection.status()
  const retry = /^retry-after: \d+\r$/im.test(connection.received()) ? ', retry later' : ''
  connection.destroy()
  return `${status}${retry}`
}

const pieceBytes = 256 * 1024

test.each<[string, Uint8Array, boolean]>([
  ['20 MB', large, false],
  ['20 MB in gzip', gzipSync(large, { level: 1 }), false],
  ['20 MB in chunks, without Content-Length', large, true],
])(
  '600 concurrent requests of %s: memory stays bounded, the excess is refused, small events are accepted',
  async (_, body, isChunked) => {
    for (let sent = 0; sent < warmingBodies; sent += 1)
      expect(await postLarge(body, isChunked)).toBe('200')
    await intakeIsEmpty(server.url)
    const before = memoryOf(server.pid())
    before.reset()

    let isOver = false
    const smalls: number[] = []
    const sendSmalls = async () => {
      while (!isOver) smalls.push((await postSmall()).status)
    }
    const small = sendSmalls()
    const outcomes = await Promise.all(
      Array.from({ length: requests }, () => postLarge(body, isChunked)),
    )
    isOver = true
    await small

    const grownBytes = memoryOf(server.pid()).peakBytes - before.nowBytes
    expect(grownBytes).toBeLessThan(growthBytesMax)
    expect(new Set(outcomes)).toEqual(new Set(['200', '503, retry later']))
    expect(new Set(smalls)).toEqual(new Set([200]))
    await intakeIsEmpty(server.url)
  },
  120_000,
)
