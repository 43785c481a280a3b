import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import type { Socket } from 'socket.io-client'
import { collect, next, send } from '../../support/socket-host.ts'
import { type Spillway, startSpillway } from '../../support/spillway.ts'
import { until } from '../../support/until.ts'
import { askToken, createClients, firstClientOf, firstToken } from './support.ts'

let server: Spillway
const clients = createClients()
beforeAll(async () => {
  server = await startSpillway({ RATE_AUTH_PER_MINUTE: '0', RATE_SOCKET_PER_MINUTE: '0' })
}, 60_000)
afterAll(async () => {
  clients[Symbol.dispose]()
  await server?.[Symbol.asyncDispose]()
})

async function connected(transports: string[] = ['polling', 'websocket']): Promise<Socket> {
  const { access_token } = await firstToken(server)
  const socket = clients.connect(server.url, access_token, { transports })
  await until(() => socket.connected, { what: 'the connection' })
  return socket
}

const transportOf = (socket: Socket) => socket.io.engine?.transport.name

describe.each([
  ['polling, then websocket', ['polling', 'websocket'], 'websocket'],
  ['websocket only', ['websocket'], 'websocket'],
  ['polling only', ['polling'], 'polling'],
])('a client by %s', (_, transports, transport) => {
  test('gets a token, connects, subscribes, publishes, and is answered', async () => {
    const [reader, writer] = [await connected(transports), await connected(transports)]
    await until(() => transportOf(reader) === transport, { what: transport })
    expect(await send(reader, 'subscribe', { topic: 'public:news' })).toEqual({
      id: expect.any(String),
      type: 'ack',
      status: 'success',
    })
    const [heard, echoed] = [next(reader, 'message'), collect(writer, 'message')]
    const payload = { text: '你好', n: 1.5, list: [null, true] }
    const publication = { topic: 'public:news', payload, ackRequired: true }
    expect(await send(writer, 'publish', publication)).toMatchObject({ status: 'success' })
    expect(await heard).toEqual({
      id: expect.any(String),
      topic: 'public:news',
      type: 'event',
      payload,
      timestamp: expect.any(Number),
      from: 'first-client',
    })
    writer.emit('heartbeat', { timestamp: Date.now() })
    expect(await send(reader, 'unsubscribe', { topic: 'public:news' })).toMatchObject({
      status: 'success',
    })
    const later = collect(reader, 'message')
    await send(writer, 'publish', publication)
    // The reader's own ack comes after whatever was sent to it before.
    await send(reader, 'subscribe', { topic: 'public:other' })
    expect([later, echoed]).toEqual([[], []])
    const isLogged = () => linesOf('socket connected').find(({ socket }) => socket === reader.id)
    expect(await until(isLogged, { what: 'the line of the log' })).toMatchObject({
      ip: '127.0.0.1',
    })
  })
})

/** Without the last, which may be half written. */
const linesOf = (message: string): Record<string, unknown>[] => {
  const lines = server.log().split('\n').slice(0, -1)
  return lines.filter((line) => line.includes(message)).map((line) => JSON.parse(line))
}

describe('what is refused comes as an event and as an ack', () => {
  const long = 'x'.repeat(257)
  test.each([
    ['permission_denied', 'subscribe', 'user:somebody'],
    ['permission_denied', 'publish', 'user:somebody'],
    ['channel_not_found', 'subscribe', 'nowhere'],
    ['channel_not_found', 'publish', 'system:other'],
    ['invalid_message', 'subscribe', ''],
    ['invalid_message', 'publish', `public:${long}`],
    ['invalid_message', 'shout', 'public:news'],
  ])('%s: %s to %p', async (code, event, topic) => {
    const socket = await connected(['websocket'])
    const told = next(socket, code)
    const ack = await send(socket, event, { topic, payload: 1 })
    expect(ack).toMatchObject({ type: 'ack', status: 'error', error: expect.any(String) })
    expect(await told).toMatchObject({ id: ack.id, message: expect.any(String) })
    expect(socket.connected).toBe(true)
  })

  test.each([
    ['none', '', 'token_missing'],
    ['nonsense', 'nonsense', 'token_invalid'],
    ['alg none', `${btoa('{"alg":"none"}')}.${btoa('{"sub":"u1"}')}.`, 'token_invalid'],
  ])('auth_error: a token that is %s', async (_, token, code) => {
    const socket = clients.connect(server.url, token)
    const [told, ended] = [next(socket, 'auth_error'), next(socket, 'disconnect')]
    expect(await told).toMatchObject({ code, message: expect.any(String) })
    await ended
    expect(socket.connected).toBe(false)
  })
})

test('a notification reaches everyone, from whoever may post one', async () => {
  const [reader, poster] = [await connected(), await connected()]
  const told = next(reader, 'notification')
  const payload = { message: 'Maintenance at noon', level: 'warning' }
  expect(await send(poster, 'publish', { topic: 'system:notifications', payload })).toMatchObject({
    status: 'success',
  })
  expect(await told).toEqual({
    id: expect.any(String),
    type: 'notification',
    ...payload,
    timestamp: expect.any(Number),
  })
  const { access_token } = await firstToken(server, { scope: ['public:*'] })
  const narrow = clients.connect(server.url, access_token)
  await until(() => narrow.connected)
  expect(await send(narrow, 'publish', { topic: 'system:notifications', payload })).toMatchObject({
    status: 'error',
  })
})

describe('tokens', () => {
  test.each([
    ['JSON', { form: false }],
    ['a form', { form: true }],
  ])('by %s, verified and published', async (_, options) => {
    const { id, secret } = firstClientOf(server)
    const fields = { grant_type: 'client_credentials', client_id: id, client_secret: secret }
    const { status, body, headers } = await askToken(server.url, fields, options)
    expect(status).toBe(200)
    expect(headers.get('cache-control')).toBe('no-store')
    expect(body).toMatchObject({ token_type: 'Bearer', expires_in: 3600, scope: expect.any(Array) })
    const authorization = `Bearer ${body.access_token}`
    const verified = await fetch(`${server.url}/api/auth/verify`, { headers: { authorization } })
    expect(verified.status).toBe(200)
    expect(await verified.json()).toMatchObject({
      valid: true,
      user: { id, permissions: body.scope },
    })
    const jwks = await (await fetch(`${server.url}/.well-known/jwks.json`)).json()
    const { kid } = JSON.parse(
      Buffer.from(body.access_token.split('.')[0]!, 'base64url').toString(),
    )
    expect(jwks).toMatchObject({ keys: [{ kid, alg: 'EdDSA' }] })
    expect(JSON.stringify(jwks)).not.toContain('"d"')
  })

  test('by a Basic header', async () => {
    const { id, secret } = firstClientOf(server)
    const headers = { authorization: `Basic ${btoa(`${id}:${secret}`)}` }
    const { status } = await askToken(
      server.url,
      { grant_type: 'client_credentials' },
      { form: true, headers },
    )
    expect(status).toBe(200)
  })

  test.each([
    ['a wrong secret', { client_secret: 'wrong' }, 401, 'invalid_client'],
    ['an unknown client', { client_id: 'nobody' }, 401, 'invalid_client'],
    ['no client', { client_id: undefined }, 400, 'invalid_request'],
    ['no grant', { grant_type: undefined }, 400, 'invalid_request'],
    ['another grant', { grant_type: 'implicit' }, 400, 'unsupported_grant_type'],
    [
      'a refresh token of nobody’s',
      { grant_type: 'refresh_token', refresh_token: 'x' },
      400,
      'invalid_grant',
    ],
  ])('%s is refused as OAuth says', async (_, change, status, error) => {
    const { id, secret } = firstClientOf(server)
    const sound = { grant_type: 'client_credentials', client_id: id, client_secret: secret }
    const answer = await askToken(server.url, { ...sound, ...change })
    expect(answer).toMatchObject({ status, body: { error } })
  })

  test('a bad token is not valid', async () => {
    const headers = { authorization: 'Bearer nonsense' }
    const verified = await fetch(`${server.url}/api/auth/verify`, { headers })
    expect(verified.status).toBe(401)
    expect(await verified.json()).toEqual({ valid: false })
  })
})

test('a client is told of the shutdown, and comes back by itself to a server that started again', async () => {
  const socket = await connected()
  const told = next(socket, 'notification')
  await server.stop()
  expect(await told).toMatchObject({
    type: 'notification',
    level: 'warning',
    message: expect.stringContaining('shutting down'),
  })
  await until(() => !socket.connected)
  await server.start()
  // The same token: keys and clients outlive the restart.
  await until(() => socket.connected, { timeoutMs: 20_000, what: 'the connection again' })
  expect(await send(socket, 'subscribe', { topic: 'public:news' })).toMatchObject({
    status: 'success',
  })
}, 60_000)
