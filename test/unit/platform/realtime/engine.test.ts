import { describe, expect, test } from 'bun:test'
import { rawHttp } from '../../../support/raw-http.ts'
import { rawMember, rawSocket } from '../../../support/raw-socket.ts'
import { collect, send, startHost } from '../../../support/socket-host.ts'
import { until } from '../../../support/until.ts'

const guests = { alice: { id: 'u1' }, bob: { id: 'u2' } }
const deep = (levels: number) => `${'['.repeat(levels)}${']'.repeat(levels)}`

/** A chunked body, without Content-Length. */
async function* chunked() {
  yield 'x'
}

describe('a malformed packet', () => {
  test.each([
    ['of no Engine.IO type', 'x'],
    ['that is empty', ''],
    ['of no Socket.IO type', '49'],
    ['of broken JSON', '42["publish",{'],
    ['that is no array', '42{"a":1}'],
    ['with a reserved event', '42["disconnect"]'],
    ['with a number for an event', '42[7,{}]'],
    ['of an ack without a pending callback', '437[1]'],
    ['of a connect error', '44{"message":"x"}'],
    ['of a second connect', '40{"token":"alice"}'],
    ['of another namespace', '40/admin,{"token":"alice"}'],
    ['of an event for another namespace', '42/admin,["publish",{}]'],
    ['with too many attachments', '4599-["publish",{}]'],
    ['with a missing attachment', '451-["publish",{"topic":"public:a"}]42["heartbeat"]'],
    ['of an unannounced attachment', new Uint8Array([1, 2, 3])],
    ['nested 300 levels deep', `42["publish",{"topic":"public:a","payload":${deep(300)}}]`],
    ['nested 200 000 levels deep', `42["publish",{"topic":"public:a","payload":${deep(200_000)}}]`],
    [
      'with __proto__ fields',
      '42["publish",{"__proto__":{"topic":"public:a"},"topic":"public:a","payload":{"__proto__":{"x":1}}}]',
    ],
    ['of an event by an inherited name', '42["constructor",{}]'],
    ['with a callback but no data', '425["publish"]'],
  ])('%s does not disturb other sockets', async (_, packet) => {
    await using host = startHost({ guests })
    const bob = await host.connected('bob')
    await send(bob, 'subscribe', { topic: 'public:a' })
    const raw = await rawMember(host.url, 'alice')
    raw.send(packet)
    raw.send(packet)
    const received = collect(bob, 'message')
    const alice = await host.connected('alice')
    await send(alice, 'publish', { topic: 'public:a', payload: 'still here' })
    await until(() => received.some(({ payload }) => payload === 'still here'))
    expect(({} as { x?: number }).x).toBeUndefined()
    raw.close()
  })

  test('before authentication never reaches a handler', async () => {
    await using host = startHost({ guests })
    const bob = await host.connected('bob')
    await send(bob, 'subscribe', { topic: 'public:a' })
    const received = collect(bob, 'message')
    const raw = await rawSocket(host.url)
    raw.send('42["publish",{"topic":"public:a","payload":1}]')
    await until(() => raw.isClosed())
    const refused = await rawSocket(host.url)
    refused.send('40{"token":"nonsense"}')
    refused.send('42["publish",{"topic":"public:a","payload":1}]')
    await until(() => refused.isClosed())
    expect(received).toEqual([])
    expect(host.realtime.stats().published).toBe(0)
  })

  test('of many concurrent connects causes one verification', async () => {
    const verified = Promise.withResolvers<{ fault: 'token_invalid' }>()
    let asked = 0
    const authenticate = () => {
      asked += 1
      return verified.promise
    }
    await using host = startHost({ auth: { authenticate, isCurrent: () => true } })
    const raw = await rawSocket(host.url)
    for (let i = 0; i < 15; i += 1) raw.send('40{"token":"alice"}')
    await until(() => raw.packets.filter((packet) => packet.startsWith('44')).length === 14)
    expect(asked).toBe(1)
    verified.resolve({ fault: 'token_invalid' })
    await until(() => raw.isClosed())
    expect(host.realtime.stats().refused).toEqual({ token_invalid: 1 })
  })
})

describe('a flood', () => {
  test.each([
    ['of pongs', '3'],
    ['of acks', '431[1]'],
    ['of connects to an unknown namespace', '40/nowhere,'],
  ])('%s ends the connection', async (_, packet) => {
    await using host = startHost({ guests })
    const raw = await rawMember(host.url, 'alice')
    for (let i = 0; i < 3000; i += 1) raw.send(packet)
    await until(() => raw.isClosed())
    expect(host.realtime.stats().ended).toMatchObject({ flood: 1 })
  })
})

describe('before authentication', () => {
  test.each([
    ['21 packets', new Array(21).fill('40/nowhere,')],
    ['33 KiB in one packet', [`40${JSON.stringify({ token: 'x'.repeat(33 * 1024) })}`]],
    [
      '36 KiB in three packets',
      new Array(3).fill(`40/nowhere,${JSON.stringify({ x: 'x'.repeat(12 * 1024) })}`),
    ],
  ])('%s end the connection without a verification', async (_, packets) => {
    let asked = 0
    const authenticate = async () => {
      asked += 1
      return { fault: 'token_invalid' as const }
    }
    await using host = startHost({ auth: { authenticate, isCurrent: () => true } })
    const raw = await rawSocket(host.url)
    for (const packet of packets) raw.send(packet)
    await until(() => raw.isClosed())
    expect(host.realtime.stats().ended).toEqual({ flood: 1 })
    expect(asked).toBe(0)
  })

  test('a polling body is at most 32 KiB', async () => {
    await using host = startHost({ guests })
    const base = `${host.url}/socket.io/?EIO=4&transport=polling`
    const { sid } = JSON.parse((await (await fetch(base)).text()).slice(1))
    const post = async (body: string) =>
      (await fetch(`${base}&sid=${sid}`, { method: 'POST', body })).status
    expect(await post(`40${JSON.stringify({ token: 'x'.repeat(33 * 1024) })}`)).toBe(413)
    expect(await post('40{"token":"alice"}')).toBe(200)
    await until(() => host.realtime.stats().sockets === 1)
    expect(await post(`42${JSON.stringify(['x', 'x'.repeat(33 * 1024)])}`)).toBe(200)
  })
})

describe('an upgrade', () => {
  const base = (host: { url: string }, transport: string) =>
    `${host.url}/socket.io/?EIO=4&transport=${transport}`

  test('is possible once for a session, and later websockets are refused', async () => {
    await using host = startHost({ guests })
    const { sid } = JSON.parse((await (await fetch(base(host, 'polling'))).text()).slice(1))
    const closed: boolean[] = []
    const open = async () => {
      const ws = new WebSocket(`${base(host, 'websocket').replace('http', 'ws')}&sid=${sid}`)
      return await new Promise<boolean>((resolve) => {
        ws.onopen = () => resolve(true)
        ws.onerror = () => resolve(false)
        ws.onclose = () => void closed.push(true)
      })
    }
    expect(await open()).toBe(true)
    for (let at = 0; at < 20; at += 1) expect(await open()).toBe(false)
    expect(host.realtime.stats().refused).toEqual({ upgrade: 20 })
  })

  test.each([
    ['to another protocol', { upgrade: 'h2c', connection: 'upgrade' }],
    ['without a key', { upgrade: 'websocket', connection: 'upgrade' }],
  ])('%s gets 400', async (_, headers) => {
    await using host = startHost({ guests })
    const client = await rawHttp(host.url)
    const lines = Object.entries({ host: '127.0.0.1', ...headers }).map((pair) => pair.join(': '))
    client.send(
      `GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`,
    )
    expect(await client.status()).toBe(400)
    client.destroy()
    expect(host.realtime.stats()).toMatchObject({ refused: { upgrade: 1 }, connections: 0 })
  })
})

describe('a request', () => {
  test.each([
    ['with a body beyond the frame', { body: 'x'.repeat(2 * 1024 * 1024 + 1) }, 413],
    ['with a body of unknown length', { body: chunked() }, 411],
  ])('%s is rejected before it is read', async (_, { body }, status) => {
    await using host = startHost({ guests })
    const base = `${host.url}/socket.io/?EIO=4&transport=polling`
    const { sid } = JSON.parse((await (await fetch(base)).text()).slice(1))
    const reply = await fetch(`${base}&sid=${sid}`, {
      method: 'POST',
      body: body as string,
    })
    expect(reply.status).toBe(status)
  })

  test.each([
    ['of 21 parameters', Array.from({ length: 18 }, (_, at) => `p${at}=1`).join('&')],
    ['of 5 KB', `x=${'x'.repeat(5000)}`],
  ])('with a query %s is rejected', async (_, query) => {
    await using host = startHost({ guests })
    const reply = await fetch(`${host.url}/socket.io/?EIO=4&transport=polling&${query}&y=1`)
    expect([reply.status, await reply.json()]).toMatchObject([400, { code: 'query' }])
    expect(host.realtime.stats().connections).toBe(0)
  })

  test.each([
    ['of an unknown session', 'EIO=4&transport=polling&sid=nobody', {}, 400],
    ['of another protocol', 'EIO=3&transport=polling', {}, 400],
    ['of another transport', 'EIO=4&transport=pigeon', {}, 400],
    ['of another method', 'EIO=4&transport=polling', { method: 'PUT' }, 400],
  ])('%s is rejected', async (_, query, options, status) => {
    await using host = startHost({ guests })
    const reply = await fetch(`${host.url}/socket.io/?${query}`, options)
    expect(reply.status).toBe(status)
  })

  test('with a frame beyond the bound closes only its connection', async () => {
    await using host = startHost({ guests })
    const raw = await rawMember(host.url, 'alice')
    raw.send(`42["publish",{"topic":"public:a","payload":"${'x'.repeat(3_000_000)}"}]`)
    await until(() => raw.isClosed())
    expect((await host.connected('bob')).connected).toBe(true)
  })
})

describe('the origin check', () => {
  const isAllowedOrigin = (origin: string) => origin === 'https://app.example'
  const handshake = '/socket.io/?EIO=4&transport=polling'

  test('echoes an allowed origin with credentials, on replies and preflights', async () => {
    await using host = startHost({ guests, isAllowedOrigin })
    const headers = { origin: 'https://app.example' }
    const reply = await fetch(host.url + handshake, { headers })
    expect(reply.status).toBe(200)
    expect(reply.headers.get('access-control-allow-origin')).toBe('https://app.example')
    expect(reply.headers.get('access-control-allow-credentials')).toBe('true')
    const preflight = await fetch(host.url + handshake, { method: 'OPTIONS', headers })
    expect(preflight.status).toBe(204)
    expect(preflight.headers.get('access-control-allow-methods')).toBe('GET, POST, OPTIONS')
  })

  test('rejects another origin, on websockets too, and never echoes it', async () => {
    await using host = startHost({ guests, isAllowedOrigin })
    const headers = { origin: 'https://evil.example' }
    const reply = await fetch(host.url + handshake, { headers })
    expect(reply.status).toBe(403)
    expect(reply.headers.get('access-control-allow-origin')).toBeNull()
    const client = host.client('alice', {
      transports: ['websocket'],
      extraHeaders: headers,
      reconnection: false,
    })
    const errors = collect(client, 'connect_error')
    await until(() => errors.length > 0)
    expect(host.realtime.stats().refused).toEqual({ origin: 2 })
  })

  test('allows the origin of the server itself', async () => {
    await using host = startHost({ guests, isAllowedOrigin })
    const reply = await fetch(host.url + handshake, { headers: { origin: host.url } })
    expect(reply.status).toBe(200)
  })

  test('lets an allowed origin read a 429 reply', async () => {
    await using host = startHost({ guests, isAllowedOrigin, waitSeconds: () => 3 })
    const reply = await fetch(host.url + handshake, { headers: { origin: 'https://app.example' } })
    expect(reply.status).toBe(429)
    expect(reply.headers.get('access-control-allow-origin')).toBe('https://app.example')
    expect(reply.headers.get('access-control-expose-headers')).toContain('Retry-After')
  })
})

describe('logs', () => {
  test('contain connections and rejections, never tokens or payloads', async () => {
    const lines: unknown[] = []
    const note = (...line: unknown[]) => void lines.push(line)
    const log = { debug: note, info: note, warn: note, error: note }
    await using host = startHost({ guests: { 'secret-token': { id: 'u1' } }, log })
    const alice = await host.connected('secret-token')
    await send(alice, 'publish', { topic: 'public:a', payload: 'secret-payload' })
    const refused = host.client('secret-guess')
    await until(() => host.realtime.stats().refused.token_invalid === 1)
    refused.disconnect()
    alice.disconnect()
    await until(() => lines.length >= 3)
    expect(JSON.stringify(lines)).not.toContain('secret')
    expect(JSON.stringify(lines)).toContain('u1')
  })
})
