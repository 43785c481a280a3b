import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'bun:test'
import type { Socket } from 'socket.io-client'
import { startRedis, type TestRedis } from '../../support/redis-server.ts'
import { collect, next, type SocketHost, send, startHost } from '../../support/socket-host.ts'
import { connectStreams } from '../../support/streams.ts'
import { until } from '../../support/until.ts'

let redis: TestRedis
beforeAll(async () => {
  redis = await startRedis()
})
afterAll(() => redis[Symbol.asyncDispose]())

const guests = {
  alice: { id: 'u1', session: 's1', permissions: ['private:orders'] },
  bob: { id: 'u2', session: 's2', permissions: ['system:notify'] },
}
type Node = SocketHost & { streams: ReturnType<typeof connectStreams> }
let nodes: [Node, Node]
let prefixes = 0

function startNode(): Node {
  const streams = connectStreams(redis.url)
  const cluster = { redis: streams, prefix: `test${prefixes}` }
  return { ...startHost({ guests: { ...guests }, cluster }), streams }
}

beforeEach(async () => {
  prefixes += 1
  nodes = [startNode(), startNode()]
  await until(() => nodes.every(({ streams }) => streams.isReady()))
})
afterEach(async () => {
  for (const node of nodes) {
    await node[Symbol.asyncDispose]()
    node.streams.close()
  }
})

/**
 * Publishes until a message arrives: a node reads the stream only from its first read on. Messages
 * keep their order, so none of these is pending when this resolves.
 */
async function untilReceived(publisher: Socket, subscriber: Socket, topic: string): Promise<void> {
  const received = collect(subscriber, 'message')
  const isReceived = async () => {
    await send(publisher, 'publish', { topic, payload: 'are you there?' })
    return received.length > 0
  }
  await until(isReceived, { what: 'a message from the other node', pauseMs: 50 })
  await send(publisher, 'publish', { topic, payload: 'good' })
  await until(() => received.at(-1)?.payload === 'good')
  subscriber.off('message')
}

describe('two nodes', () => {
  test('share channels, notifications and revocations', async () => {
    const [one, two] = nodes
    const alice = await one.connected('alice')
    const bob = await two.connected('bob')
    await send(bob, 'subscribe', { topic: 'public:news' })
    await untilReceived(alice, bob, 'public:news')

    const received = next(bob, 'message')
    const payload = { text: 'héllo', n: 1 }
    await send(alice, 'publish', { topic: 'public:news', payload })
    expect(await received).toEqual({
      id: expect.any(String),
      topic: 'public:news',
      type: 'event',
      payload,
      timestamp: expect.any(Number),
      from: 'u1',
    })

    const binary = next<{ payload: Uint8Array }>(bob, 'message')
    await send(alice, 'publish', { topic: 'public:news', payload: Buffer.from([0, 255]) })
    expect([...(await binary).payload]).toEqual([0, 255])

    const announced = next(alice, 'notification')
    await send(bob, 'publish', { topic: 'system:notifications', payload: 'hear, hear' })
    expect(await announced).toMatchObject({ message: 'hear, hear' })

    const revoked = next(alice, 'auth_error')
    two.realtime.endSession('s1')
    expect(await revoked).toMatchObject({ code: 'token_revoked' })
    await until(() => !alice.connected)
    expect(bob.connected).toBe(true)
  })

  test('do not send each other events for a single socket', async () => {
    const [one] = nodes
    const alice = await one.connected('alice')
    await send(alice, 'subscribe', { topic: 'public:a' })
    await send(alice, 'subscribe', { topic: 'nowhere' })
    expect(await one.streams.call('XLEN', [`test${prefixes}:realtime`])).toBe(0)
  })

  test('serve their own sockets while Redis is unavailable, and share channels again afterwards', async () => {
    const [one, two] = nodes
    const alice = await one.connected('alice')
    const neighbour = await one.connected('bob')
    const bob = await two.connected('bob')
    for (const socket of [neighbour, bob]) await send(socket, 'subscribe', { topic: 'public:a' })
    await untilReceived(alice, bob, 'public:a')

    await redis.stop()
    const near = next(neighbour, 'message')
    expect(await send(alice, 'publish', { topic: 'public:a', payload: 'alone' })).toMatchObject({
      status: 'success',
    })
    expect(await near).toMatchObject({ payload: expect.any(String) })
    await until(() => one.realtime.stats().clusterFailures > 0)

    await redis.start()
    await untilReceived(alice, bob, 'public:a')
    expect([alice, neighbour, bob].every(({ connected }) => connected)).toBe(true)
  }, 60_000)
})

describe('a lost connection', () => {
  const drop = (socket: Socket) => socket.io.engine.close()

  test('receives the messages that it missed, also on another node', async () => {
    const [one, two] = nodes
    const alice = await one.connected('alice')
    const bob = await two.connected('bob')
    await send(alice, 'subscribe', { topic: 'private:orders' })
    await send(alice, 'subscribe', { topic: 'public:a' })
    await untilReceived(bob, alice, 'public:a')
    const received = collect(alice, 'message')
    const { id } = alice

    alice.io.reconnection(false)
    drop(alice)
    await until(() => one.realtime.stats().sockets === 0)
    await send(bob, 'publish', { topic: 'public:a', payload: 'missed' })
    alice.io.reconnection(true)
    Object.assign(alice.io, { uri: two.url })
    alice.connect()
    await until(() => received.length > 0)
    expect(received.map(({ payload }) => payload)).toEqual(['missed'])
    expect({ recovered: alice.recovered, id: alice.id }).toEqual({ recovered: true, id: id! })
    await send(bob, 'publish', { topic: 'public:a', payload: 'live' })
    await until(() => received.length > 1)
    expect(two.realtime.stats().subscriptions).toBe(2)
  })

  test.each([
    ['its token expired', 'token_expired' as const, 0],
    ['its token belongs to another user', { id: 'u9' }, 1],
  ])('receives nothing if %s', async (_, guest, sockets) => {
    const [one, two] = nodes
    const alice = await one.connected('alice')
    const bob = await two.connected('bob')
    await send(alice, 'subscribe', { topic: 'public:a' })
    await untilReceived(bob, alice, 'public:a')
    const received = collect(alice, 'message')
    alice.io.reconnection(false)
    drop(alice)
    await until(() => one.realtime.stats().sockets === 0)
    await send(bob, 'publish', { topic: 'public:a', payload: 'missed' })
    one.guests.alice = guest
    const ended = collect(alice, 'auth_error')
    alice.connect()
    if (sockets === 0) await until(() => ended.length > 0)
    else await send(alice, 'subscribe', { topic: 'public:b' })
    expect(one.realtime.stats()).toMatchObject({ sockets })
    expect(received).toEqual([])
  })
})
