import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { Worker } from 'node:worker_threads'
import { firstToken } from '../services/platform/support.ts'
import { expectUndisturbed, sendBeside } from '../support/beside.ts'
import { type RawSocket, rawMember } from '../support/raw-socket.ts'
import { type Spillway, startSpillway } from '../support/spillway.ts'
import type { Received } from '../support/subscribers.ts'
import { until } from '../support/until.ts'

setDefaultTimeout(120_000)

/** What a client with a token may do to others. */
let server: Spillway
let token: string
beforeAll(async () => {
  server = await startSpillway({ RATE_SOCKET_PER_MINUTE: '0', ACCESS_LOG: 'false' })
  token = (await firstToken(server)).access_token
})
afterAll(() => server?.[Symbol.asyncDispose]())

const kib = 1024
const toJson = (open: string, close: string, toPart: (at: number) => string) => (bytes: number) => {
  const parts: string[] = []
  for (let length = 0; length < bytes; ) {
    const part = toPart(parts.length)
    parts.push(part)
    length += part.length + 1
  }
  return open + parts.join(',') + close
}
let names = 0
const nextName = () => {
  names += 1
  return `n${names.toString(36)}`
}

/** The JSON that costs most to parse, to check and to send, for each way to be costly. */
const shapes: [string, (bytes: number) => string][] = [
  ['different names', toJson('{', '}', () => `"${nextName()}":1`)],
  ['objects of one name each', toJson('[', ']', () => `{"${nextName()}":1}`)],
  ['names that are numbers', toJson('{', '}', (at) => `"${(at * 7919) % 4294967294}":1`)],
  ['numbers', toJson('[', ']', () => '1')],
  ['long integers', toJson('[', ']', () => '1234567890123456789')],
  ['empty objects', toJson('[', ']', () => '{}')],
  ['short texts', toJson('[', ']', () => `"${nextName()}"`)],
  ['arrays in arrays', (bytes) => '['.repeat(bytes / 2) + ']'.repeat(bytes / 2)],
  ['many deep arrays', toJson('[', ']', () => '['.repeat(150) + ']'.repeat(150))],
]

const publication = (payload: string) =>
  `42["publish",{"topic":"public:a","messageId":"m","payload":${payload}}]`

/** The packets of a member that were answered, or ended its connection. */
async function isHandled(member: RawSocket, packet: string): Promise<void> {
  const { length } = member.packets
  member.send(packet)
  const isAnswered = () => member.packets.length > length || member.isClosed()
  await until(isAnswered, { what: 'an answer' })
}

describe('a message of a member holds the thread for a short time only', () => {
  test.each(shapes)('%s', async (_, toPayload) => {
    const beside = await sendBeside(server)
    for (const bytes of [60 * kib, 120 * kib, 250 * kib, 500 * kib, 1000 * kib, 2000 * kib]) {
      const member = await rawMember(server.url, `Bearer ${token}`)
      await isHandled(member, publication(toPayload(bytes)))
      member.close()
    }
    await expectUndisturbed(beside)
  })
})

test('messages to 5,000 subscribers hold the thread for a short time only', async () => {
  const topic = 'public:crowd'
  const count = 5000
  const crowd = new Worker(new URL('../support/subscribers.ts', import.meta.url), {
    workerData: { url: server.url, token, topic, count },
  })
  const next = () => new Promise<Received>((resolve) => void crowd.once('message', resolve))
  const read = () => {
    crowd.postMessage('read')
    return next()
  }
  await next()
  const beside = await sendBeside(server)
  const member = await rawMember(server.url, `Bearer ${token}`)
  const messages = 20
  for (let number = 0; number < messages; number += 1)
    member.send(`42["publish",{"topic":"${topic}","payload":{"number":${number}}}]`)
  const isReceived = async () => (await read()).messages === messages * count
  await until(isReceived, { timeoutMs: 60_000, pauseMs: 100, what: 'every message' })
  expect((await read()).disordered).toBe(0)
  await expectUndisturbed(beside)
  member.close()
  await crowd.terminate()
})
