import { expect, test } from 'bun:test'
import { firstToken } from '../services/platform/support.ts'
import { expectUndisturbed, sendBeside } from '../support/beside.ts'
import { scrape } from '../support/metrics.ts'
import { type RawSocket, rawMember, rawSocket } from '../support/raw-socket.ts'
import { readResidentBytes } from '../support/resident-bytes.ts'
import { type Spillway, startSpillway } from '../support/spillway.ts'
import { until } from '../support/until.ts'

const mib = 1024 * 1024
const growthBytesMax = 200 * mib

const polling = (server: Spillway, query = '') =>
  `${server.url}/socket.io/?EIO=4&transport=polling${query}`
const openSession = async (server: Spillway): Promise<string> =>
  JSON.parse((await (await fetch(polling(server))).text()).slice(1)).sid
const statusOf = async (url: string, init?: RequestInit) => {
  const response = await fetch(url, init)
  await response.text()
  return response.status
}

/** Runs an attack beside small events, and checks that it disturbed none. */
async function besideEvents(server: Spillway, attack: () => Promise<void>): Promise<void> {
  const beside = await sendBeside(server)
  const before = readResidentBytes(server.pid())
  await attack()
  const growth = readResidentBytes(server.pid()) - before
  await expectUndisturbed(beside)
  expect(growth).toBeLessThan(growthBytesMax)
}

test('an empty session id does not pass by the limit of connections', async () => {
  await using server = await startSpillway()
  await besideEvents(server, async () => {
    const statuses = await Promise.all(
      Array.from({ length: 300 }, (_, at) => statusOf(polling(server, at % 2 ? '&sid=' : '&sid'))),
    )
    expect(statuses.filter((status) => status === 200).length).toBeLessThanOrEqual(105)
    expect(statuses.filter((status) => status === 429).length).toBeGreaterThanOrEqual(195)
  })
}, 60_000)

test('one session has one websocket, however many it asks for', async () => {
  await using server = await startSpillway()
  await besideEvents(server, async () => {
    const sid = await openSession(server)
    const url = polling(server, `&sid=${sid}`).replace('http', 'ws').replace('polling', 'websocket')
    const sockets = Array.from({ length: 200 }, () => new WebSocket(url))
    const opened = await Promise.all(
      sockets.map(
        (socket) =>
          new Promise<boolean>((resolve) => {
            socket.onopen = () => resolve(true)
            socket.onerror = () => resolve(false)
          }),
      ),
    )
    expect(opened.filter(Boolean).length).toBeLessThanOrEqual(1)
    for (const socket of sockets) socket.close()
  })
}, 60_000)

test('large and many packets before authentication are not parsed', async () => {
  await using server = await startSpillway()
  await besideEvents(server, async () => {
    const numbers = `[${'1234567890123456,'.repeat(110_000)}0]`
    const names = Array.from({ length: 80_000 }, (_, at) => `"name ${at}":${at}`).join()
    const packets = [`40{"token":"x","x":${numbers}}`, `40{"token":"x",${names}}`]
    const attackers: RawSocket[] = []
    for (let at = 0; at < 40; at += 1) {
      const socket = await rawSocket(server.url)
      attackers.push(socket)
      for (let more = 0; more < 3; more += 1) socket.send(packets[at % 2]!)
    }
    await until(() => attackers.every((socket) => socket.isClosed()), {
      timeoutMs: 10_000,
      what: 'the end of the connections',
    })
    const flooding = await rawSocket(server.url)
    for (let at = 0; at < 2000; at += 1) flooding.send('40/admin,{"pid":"x","offset":"0-0"}')
    await until(() => flooding.isClosed(), { what: 'the end of the connection' })
    expect((await scrape(server.url))('spillway_sockets_ended_total', { reason: 'flood' })).toBe(41)
  })
}, 60_000)

test('polling bodies of a session without a token are small, and no body is only separators', async () => {
  await using server = await startSpillway()
  const { access_token } = await firstToken(server)
  await besideEvents(server, async () => {
    for (let at = 0; at < 20; at += 1) {
      const url = polling(server, `&sid=${await openSession(server)}`)
      expect(await statusOf(url, { method: 'POST', body: '3\u001e'.repeat(mib - 1) })).toBe(413)
    }
    const member = polling(server, `&sid=${await openSession(server)}`)
    const body = `40${JSON.stringify({ token: access_token })}`
    expect(await statusOf(member, { method: 'POST', body })).toBe(200)
    await fetch(member)
    expect(await statusOf(member, { method: 'POST', body: '3\u001e'.repeat(mib - 1) })).toBe(400)
  })
}, 60_000)

test('a socket that sends more bytes than its limit is disconnected', async () => {
  await using server = await startSpillway()
  const { access_token } = await firstToken(server)
  const member = await rawMember(server.url, `Bearer ${access_token}`)
  await besideEvents(server, async () => {
    const payload = `[${'12345678,'.repeat(100_000)}0]`
    const packet = `42["publish",{"topic":"public:a","messageId":"m","payload":${payload}}]`
    for (let at = 0; at < 100 && !member.isClosed(); at += 1) {
      const { length } = member.packets
      member.send(packet)
      const isAnswered = () => member.packets.length > length || member.isClosed()
      await until(isAnswered, { what: 'an answer, or the end' })
    }
    await until(() => member.isClosed(), { timeoutMs: 10_000, what: 'the end of the connection' })
    const published = (await scrape(server.url))('spillway_realtime_published_total')
    expect(published).toBeLessThanOrEqual(16)
  })
  expect(member.packets.some((text) => text.includes('too many bytes a second'))).toBe(true)
}, 60_000)

/** Names whose hashes collide in the runtime, none twice. */
function createCollidingNames() {
  let count = 0
  return (bytesMax: number) => {
    const names: string[] = []
    for (let bytes = 0; bytes < bytesMax; bytes += 30) {
      count += 1
      const free = count
        .toString(26)
        .padStart(8, '0')
        .replace(/\d/g, (digit) => 'qrstuvwxyz'[+digit]!)
      names.push(`"\u0093K\u00b8\u008b${free}\u00c9\u00ac.\u0096":1`)
    }
    return names.join()
  }
}

test('token requests and tokens of many names that collide are refused before they are parsed', async () => {
  await using server = await startSpillway({ RATE_AUTH_PER_MINUTE: '0' })
  const toNames = createCollidingNames()
  await besideEvents(server, async () => {
    for (let at = 0; at < 150; at += 1) {
      const body = `{"grant_type":"password",${toNames(15_000)}}`
      const headers = { 'content-type': 'application/json' }
      const token = { method: 'POST', body, headers }
      expect(await statusOf(`${server.url}/api/auth/token`, token)).toBe(400)
      const header = Buffer.from(`{${toNames(6000)}}`).toString('base64url')
      const authorization = `Bearer ${header}.e30.x`
      expect(await statusOf(`${server.url}/api/auth/verify`, { headers: { authorization } })).toBe(
        401,
      )
    }
  })
}, 60_000)
