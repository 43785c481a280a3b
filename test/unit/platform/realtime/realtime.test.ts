import { describe, expect, test } from 'bun:test'
import { collect, type Guests, next, send, startHost } from '../../../support/socket-host.ts'
import { until } from '../../../support/until.ts'

const guests = (): Guests => ({
  alice: { id: 'u1', permissions: ['private:orders'] },
  bob: { id: 'u2' },
  operator: { id: 'u3', permissions: ['system:notify'] },
})
const success = { id: expect.any(String), type: 'ack', status: 'success' }

describe.each([
  ['polling, then websocket', ['polling', 'websocket'], 'websocket'],
  ['websocket only', ['websocket'], 'websocket'],
  ['polling only', ['polling'], 'polling'],
])('over %s', (_, transports, last) => {
  test('a message reaches every subscriber except its sender', async () => {
    await using host = startHost({ guests: guests() })
    const options = { transports }
    const [alice, bob] = await Promise.all([
      host.connected('alice', options),
      host.connected('bob', options),
    ])
    await until(() => alice.io.engine.transport.name === last)
    const toAlice = collect(alice, 'message')
    expect(await send(alice, 'subscribe', { topic: 'public:news' })).toEqual(success)
    expect(await send(bob, 'subscribe', { topic: 'public:news' })).toEqual(success)

    const received = next(bob, 'message')
    const payload = { text: 'héllo', list: [1, null, true], deep: { a: '\u0000' } }
    expect(await send(alice, 'publish', { topic: 'public:news', payload })).toEqual(success)
    expect(await received).toEqual({
      id: expect.any(String),
      topic: 'public:news',
      type: 'event',
      payload,
      timestamp: host.clock.nowMs,
      from: 'u1',
    })

    expect(await send(bob, 'unsubscribe', { topic: 'public:news' })).toEqual(success)
    const toBob = collect(bob, 'message')
    await send(alice, 'publish', { topic: 'public:news', payload })
    await send(bob, 'subscribe', { topic: 'public:other' })
    expect({ toAlice, toBob }).toEqual({ toAlice: [], toBob: [] })
  })

  test('binary payloads arrive unchanged', async () => {
    await using host = startHost({ guests: guests() })
    const options = { transports }
    const alice = await host.connected('alice', options)
    const bob = await host.connected('bob', options)
    await send(bob, 'subscribe', { topic: 'public:files' })
    const received = next<{ payload: { bytes: Uint8Array } }>(bob, 'message')
    const bytes = Buffer.from([0, 1, 2, 255])
    await send(alice, 'publish', { topic: 'public:files', payload: { bytes } })
    expect([...(await received).payload.bytes]).toEqual([...bytes])
  })

  test('a client with a rejected token gets auth_error and is disconnected', async () => {
    await using host = startHost({ guests: { old: 'token_expired', revoked: 'token_revoked' } })
    for (const [token, code] of [
      ['old', 'token_expired'],
      ['revoked', 'token_revoked'],
      ['nonsense', 'token_invalid'],
    ]) {
      const client = host.client(token, { transports })
      const reasons = collect<string>(client, 'disconnect')
      expect(await next(client, 'auth_error')).toEqual({ code, message: expect.any(String) })
      await until(() => reasons.length > 0)
      expect(reasons).toEqual(['io server disconnect'])
    }
    expect(host.realtime.stats()).toMatchObject({ sockets: 0, subscriptions: 0 })
  })
})

describe('a client with a rejected token', () => {
  const guests = { old: 'token_expired' as const }

  test.each(['websocket', 'polling'])(
    'gets auth_error before connect, over %s',
    async (transport) => {
      await using host = startHost({ guests })
      const client = host.client('old', { transports: [transport] })
      const events: string[] = []
      for (const event of ['auth_error', 'connect', 'disconnect'])
        client.on(event, () => void events.push(event))
      await until(() => events.includes('disconnect'))
      expect(events).toEqual(['auth_error', 'connect', 'disconnect'])
    },
  )

  test('gets connect_error and no connect if it asks for it', async () => {
    await using host = startHost({ guests })
    const client = host.client('old', { auth: { token: 'old', connectError: true } })
    const connects = collect(client, 'connect')
    const error = await next<Error & { data: unknown }>(client, 'connect_error')
    expect(error.message).toBe('the token has expired')
    expect(error.data).toEqual({ code: 'token_expired', message: 'the token has expired' })
    expect(connects).toEqual([])
    expect(host.realtime.stats()).toMatchObject({ sockets: 0, refused: { token_expired: 1 } })
  })
})

describe('a socket', () => {
  test.each([
    ['subscribe', { topic: 'private:orders' }, 'permission_denied', 'Permission denied'],
    ['publish', { topic: 'private:orders', payload: 1 }, 'permission_denied', 'Permission denied'],
    ['subscribe', { topic: 'user:u1' }, 'permission_denied', 'Permission denied'],
    ['publish', { topic: 'user:u1', payload: 1 }, 'permission_denied', 'Permission denied'],
    [
      'publish',
      { topic: 'system:notifications', payload: 'x' },
      'permission_denied',
      'Permission denied',
    ],
    ['subscribe', { topic: 'news' }, 'channel_not_found', 'Channel not found'],
    ['unsubscribe', { topic: 'news' }, 'channel_not_found', 'Channel not found'],
    ['publish', { topic: 'public:', payload: 1 }, 'channel_not_found', 'Channel not found'],
    ['subscribe', { topic: 7 }, 'invalid_message', 'topic must be a non-empty string'],
    [
      'subscribe',
      { topic: `public:${'x'.repeat(250)}` },
      'invalid_message',
      'topic must not exceed 256 characters',
    ],
    [
      'publish',
      { topic: 'public:a', payload: 'x'.repeat(1_100_000) },
      'invalid_message',
      expect.stringContaining('1048576 bytes'),
    ],
    ['publish', {}, 'invalid_message', 'topic must be a non-empty string'],
    ['publish', { topic: 'public:a' }, 'invalid_message', expect.stringContaining('payload')],
    ['levitate', {}, 'invalid_message', 'there is no such event'],
  ])(
    'that sends a rejected %s gets an error event and an error ack (%#)',
    async (event, data, code, message) => {
      await using host = startHost({ guests: guests() })
      const bob = await host.connected('bob')
      const refused = next(bob, code)
      const ack = await send(bob, event, data)
      expect(ack).toEqual({ id: ack.id, type: 'ack', status: 'error', error: message })
      const { topic } = data as { topic?: unknown }
      const named = typeof topic === 'string' ? { topic: topic.slice(0, 256) } : {}
      expect(await refused).toEqual({ id: ack.id, ...named, message })
      expect(bob.connected).toBe(true)
    },
  )

  test.each([
    ['nothing', []],
    ['null', [null]],
    ['a string', ['subscribe me']],
    ['an array', [['public:a']]],
    ['an id that is no string', [{ topic: 'public:a', messageId: 7 }]],
    ['an id of 257 characters', [{ topic: 'public:a', messageId: 'x'.repeat(257) }]],
  ])('that subscribes with %s gets invalid_message without an ack', async (_, args) => {
    await using host = startHost({ guests: guests() })
    const bob = await host.connected('bob')
    const acks = collect(bob, 'ack')
    const refused = next(bob, 'invalid_message')
    bob.emit('subscribe', ...args)
    expect(await refused).toMatchObject({ message: expect.any(String) })
    await send(bob, 'subscribe', { topic: 'public:later' })
    expect(acks).toHaveLength(1)
  })

  test('gets an ack whatever the value of ackRequired, and none without an id', async () => {
    await using host = startHost({ guests: guests() })
    const bob = await host.connected('bob')
    const acks = collect(bob, 'ack')
    bob.emit('publish', { topic: 'public:a', payload: 1 })
    const data = { topic: 'public:a', payload: 1, ackRequired: false }
    expect(await send(bob, 'publish', data)).toEqual(success)
    expect(acks).toHaveLength(1)
  })

  test('that passes a Socket.IO callback gets the ack there as well', async () => {
    await using host = startHost({ guests: guests() })
    const bob = await host.connected('bob')
    const message = { topic: 'public:a', messageId: 'm' }
    expect(await bob.timeout(5000).emitWithAck('subscribe', message)).toEqual({
      ...success,
      id: 'm',
    })
  })

  test('has the channel of its user, and no other user has it', async () => {
    await using host = startHost({ guests: { ...guests(), client: { kind: 'client', id: 'u2' } } })
    const bob = await host.connected('bob')
    const alice = await host.connected('alice')
    const namesake = await host.connected('client')
    expect(await send(bob, 'subscribe', { topic: 'user:u2' })).toMatchObject({ status: 'success' })
    for (const other of [alice, namesake])
      expect(await send(other, 'subscribe', { topic: 'user:u2' })).toMatchObject({
        status: 'error',
      })
  })

  test('with the permission publishes to all subscribers of the notifications', async () => {
    await using host = startHost({ guests: guests() })
    const operator = await host.connected('operator')
    const bob = await host.connected('bob')
    const toOperator = collect(operator, 'notification')
    const received = next(bob, 'notification')
    const payload = { level: 'warning', message: 'maintenance at noon' }
    await send(operator, 'publish', { topic: 'system:notifications', payload })
    expect(await received).toEqual({
      id: expect.any(String),
      type: 'notification',
      level: 'warning',
      message: 'maintenance at noon',
      timestamp: host.clock.nowMs,
    })
    const plain = next(bob, 'notification')
    await send(operator, 'publish', { topic: 'system:notifications', payload: 'done' })
    expect(await plain).toMatchObject({ level: 'info', message: 'done' })
    const wrong = { level: 'shout', message: 'x' }
    expect(
      await send(operator, 'publish', { topic: 'system:notifications', payload: wrong }),
    ).toMatchObject({ status: 'error' })
    expect(toOperator).toEqual([])
  })

  test('that unsubscribed from notifications gets none', async () => {
    await using host = startHost({ guests: guests() })
    const bob = await host.connected('bob')
    const received = collect(bob, 'notification')
    await send(bob, 'unsubscribe', { topic: 'system:notifications' })
    host.realtime.announce({ level: 'info', message: 'unheard' })
    await send(bob, 'subscribe', { topic: 'system:notifications' })
    host.realtime.announce({ level: 'info', message: 'heard' })
    await until(() => received.length > 0)
    expect(received).toHaveLength(1)
  })

  test('is counted while it is connected', async () => {
    await using host = startHost({ guests: guests() })
    const bob = await host.connected('bob')
    await send(bob, 'subscribe', { topic: 'public:a' })
    await send(bob, 'publish', { topic: 'public:a', payload: 1 })
    expect(host.realtime.stats()).toMatchObject({ sockets: 1, subscriptions: 1, published: 1 })
    bob.disconnect()
    await until(() => host.realtime.stats().sockets === 0)
    expect(host.realtime.stats().subscriptions).toBe(0)
  })
})

describe('a server', () => {
  test('sends a shutdown notice, and clients reconnect to the next server on that port', async () => {
    await using first = startHost({ guests: guests() })
    const bob = await first.connected('bob')
    // Unlike the real server, this host does not wait for a running poll. Over websocket there is
    // none.
    await until(() => bob.io.engine.transport.name === 'websocket')
    await send(bob, 'subscribe', { topic: 'public:a' })
    const reasons = collect<string>(bob, 'disconnect')
    const notice = next(bob, 'notification')
    await first.stop()
    expect(await notice).toMatchObject({
      level: 'warning',
      message: 'the server is shutting down',
    })
    await until(() => reasons.length > 0)
    expect(reasons).toEqual(['transport close'])

    await using second = startHost({ port: first.port, guests: guests() })
    await until(() => bob.connected, { what: 'the reconnection' })
    expect(second.realtime.stats().sockets).toBe(1)
  })

  test('delivers the shutdown notice to a client between two polls', async () => {
    await using host = startHost({ guests: guests() })
    const url = `${host.url}/socket.io/?EIO=4&transport=polling`
    const { sid } = JSON.parse((await (await fetch(url)).text()).slice(1))
    await fetch(`${url}&sid=${sid}`, { method: 'POST', body: '40{"token":"bob"}' })
    await until(() => host.realtime.stats().sockets === 1)
    let isClosed = false
    const closing = host.realtime.close().then(() => {
      isClosed = true
    })
    // `close` waits: the caller closes the port next, and the client could not poll any more.
    await fetch(`${host.url}/elsewhere`)
    expect(isClosed).toBe(false)
    expect(await (await fetch(`${url}&sid=${sid}`)).text()).toContain('the server is shutting down')
    await closing
  })

  test('that is closing rejects new connections', async () => {
    await using host = startHost({ guests: guests() })
    await host.realtime.close()
    const reply = await fetch(`${host.url}/socket.io/?EIO=4&transport=polling`)
    expect(reply.status).toBe(503)
    expect(reply.headers.get('retry-after')).toBe('5')
  })
})
