import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import type { Socket } from 'socket.io-client'
import { logLines } from '../../support/log-lines.ts'
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
  test('gets a token, connects, subscribes, publishes, and receives', async () => {
    const [reader, writer] = [await connected(transports), await connected(transports)]
    await until(() => transportOf(reader) === transport, { what: transport })
    expect(await send(reader, 'subscribe', { topic: 'public:news' })).toEqual({
      id: expect.any(String),
      type: 'ack',
      status: 'success',
    })
    const [received, echoed] = [next(reader, 'message'), collect(writer, 'message')]
    const payload = { text: '你好', n: 1.5, list: [null, true] }
    const publication = { topic: 'public:news', payload, ackRequired: true }
    expect(await send(writer, 'publish', publication)).toMatchObject({ status: 'success' })
    expect(await received).toEqual({
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
    // The order of one socket holds: an earlier message would arrive before this ack.
    await send(reader, 'subscribe', { topic: 'public:other' })
    expect([later, echoed]).toEqual([[], []])
    const isLogged = () => linesOf('socket connected').find(({ socket }) => socket === reader.id)
    expect(await until(isLogged, { what: 'the log line' })).toMatchObject({
      ip: '127.0.0.1',
    })
  })
})

const linesOf = (message: string) => logLines(server).filter(({ msg }) => msg.includes(message))

describe('a rejected message gets an error event and an error ack', () => {
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
    const errorEvent = next(socket, code)
    const ack = await send(socket, event, { topic, payload: 1 })
    expect(ack).toMatchObject({ type: 'ack', status: 'error', error: expect.any(String) })
    expect(await errorEvent).toMatchObject({ id: ack.id, message: expect.any(String) })
    expect(socket.connected).toBe(true)
  })

  test.each([
    ['none', '', 'token_missing'],
    ['nonsense', 'nonsense', 'token_invalid'],
    ['alg none', `${btoa('{"alg":"none"}')}.${btoa('{"sub":"u1"}')}.`, 'token_invalid'],
  ])('a client whose token is %s gets auth_error', async (_, token, code) => {
    const socket = clients.connect(server.url, token)
    const [authError, ended] = [next(socket, 'auth_error'), next(socket, 'disconnect')]
    expect(await authError).toMatchObject({ code, message: expect.any(String) })
    await ended
    expect(socket.connected).toBe(false)
  })
})

test('a notification reaches all sockets, and needs a permission to publish', async () => {
  const [reader, publisher] = [await connected(), await connected()]
  const notification = next(reader, 'notification')
  const payload = { message: 'Maintenance at noon', level: 'warning' }
  expect(
    await send(publisher, 'publish', { topic: 'system:notifications', payload }),
  ).toMatchObject({
    status: 'success',
  })
  expect(await notification).toEqual({
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
    ['JSON', { form: false }, (scope: string[]) => scope],
    ['a form', { form: true }, (scope: string[]) => scope.join(' ')],
  ])('by %s can be verified, and their key is published', async (_, options, toScope) => {
    const { id, secret } = firstClientOf(server)
    const fields = { grant_type: 'client_credentials', client_id: id, client_secret: secret }
    const { status, body, headers } = await askToken(server.url, fields, options)
    expect(status).toBe(200)
    expect(headers.get('cache-control')).toBe('no-store')
    expect(body).toMatchObject({ token_type: 'Bearer', expires_in: 3600 })
    const authorization = `Bearer ${body.access_token}`
    const verified = await fetch(`${server.url}/api/auth/verify`, { headers: { authorization } })
    expect(verified.status).toBe(200)
    const reply = (await verified.json()) as { user: { permissions: string[] } }
    expect(reply).toMatchObject({ valid: true, user: { id } })
    expect(body.scope as unknown).toEqual(toScope(reply.user.permissions))
    const jwks = await (await fetch(`${server.url}/.well-known/jwks.json`)).json()
    const { kid } = JSON.parse(
      Buffer.from(body.access_token.split('.')[0]!, 'base64url').toString(),
    )
    expect(jwks).toMatchObject({ keys: [{ kid, alg: 'EdDSA' }] })
    expect(JSON.stringify(jwks)).not.toContain('"d"')
  })

  test('are issued for a Basic header', async () => {
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
      'an unknown refresh token',
      { grant_type: 'refresh_token', refresh_token: 'x' },
      400,
      'invalid_grant',
    ],
  ])('%s is rejected with the code of RFC 6749', async (_, change, status, error) => {
    const { id, secret } = firstClientOf(server)
    const valid = { grant_type: 'client_credentials', client_id: id, client_secret: secret }
    const answer = await askToken(server.url, { ...valid, ...change })
    expect(answer).toMatchObject({ status, body: { error } })
  })

  test('an invalid token is not verified', async () => {
    const headers = { authorization: 'Bearer nonsense' }
    const verified = await fetch(`${server.url}/api/auth/verify`, { headers })
    expect(verified.status).toBe(401)
    expect(await verified.json()).toEqual({ valid: false })
  })
})

test('a client gets the shutdown notice, and reconnects by itself to the restarted server', async () => {
  const socket = await connected()
  const notification = next(socket, 'notification')
  await server.stop()
  expect(await notification).toMatchObject({
    type: 'notification',
    level: 'warning',
    message: expect.stringContaining('shutting down'),
  })
  await until(() => !socket.connected)
  await server.start()
  // The same token is valid: keys and clients survive the restart.
  await until(() => socket.connected, { timeoutMs: 20_000, what: 'the reconnection' })
  expect(await send(socket, 'subscribe', { topic: 'public:news' })).toMatchObject({
    status: 'success',
  })
}, 60_000)
