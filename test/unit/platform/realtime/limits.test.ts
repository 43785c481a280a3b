import { describe, expect, test } from 'bun:test'
import { createBucket } from '../../../../src/platform/realtime/limits.ts'
import { rawMember } from '../../../support/raw-socket.ts'
import { silentSubscriber } from '../../../support/silent-subscriber.ts'
import { collect, next, send, startHost } from '../../../support/socket-host.ts'
import { until } from '../../../support/until.ts'

const guests = { alice: { id: 'u1' }, bob: { id: 'u2' } }

describe('a socket', () => {
  test('may send a burst, gets errors beyond it, and may send again later', async () => {
    await using host = startHost({ guests, limits: { messagesBurst: 20, messagesPerSecond: 10 } })
    const alice = await host.connected('alice')
    const acks = collect<{ status: string }>(alice, 'ack')
    for (let i = 0; i < 25; i += 1)
      alice.emit('subscribe', { topic: 'public:a', messageId: `${i}` })
    await until(() => acks.length === 25)
    expect(acks.filter(({ status }) => status === 'error')).toHaveLength(5)
    host.clock.nowMs += 1000
    expect(await send(alice, 'subscribe', { topic: 'public:a' })).toMatchObject({
      status: 'success',
    })
    expect(host.realtime.stats().faults).toEqual({ invalid_message: 5 })
  })

  test('is disconnected after too many rejected messages, and does not reconnect', async () => {
    await using host = startHost({ guests })
    const alice = await host.connected('alice')
    const reasons = collect<string>(alice, 'disconnect')
    for (let i = 0; i < 400; i += 1) alice.emit('publish', { topic: 'public:a', payload: i })
    await until(() => reasons.length > 0)
    expect(reasons).toEqual(['io server disconnect'])
    expect(host.realtime.stats()).toMatchObject({
      published: 200,
      faults: { invalid_message: 101 },
      ended: { flood: 1 },
    })
  })

  test('may hold 200 subscriptions; after an unsubscribe it may subscribe again', async () => {
    await using host = startHost({ guests, limits: { messagesBurst: 1000 } })
    const alice = await host.connected('alice')
    const acks = collect<{ status: string }>(alice, 'ack')
    for (let i = 0; i < 201; i += 1)
      alice.emit('subscribe', { topic: `public:${i}`, messageId: `${i}` })
    await until(() => acks.length === 201)
    expect(acks.findIndex(({ status }) => status === 'error')).toBe(200)
    expect(await send(alice, 'subscribe', { topic: 'public:7' })).toMatchObject({
      status: 'success',
    })
    await send(alice, 'unsubscribe', { topic: 'public:7' })
    expect(await send(alice, 'subscribe', { topic: 'public:x' })).toMatchObject({
      status: 'success',
    })
    expect(host.realtime.stats().subscriptions).toBe(200)
  })

  test('may publish one MiB and no more', async () => {
    await using host = startHost({ guests })
    const alice = await host.connected('alice')
    const bob = await host.connected('bob')
    await send(bob, 'subscribe', { topic: 'public:a' })
    const received = next<{ payload: string }>(bob, 'message')
    const payload = 'x'.repeat(1024 * 1024 - 2)
    expect(await send(alice, 'publish', { topic: 'public:a', payload })).toMatchObject({
      status: 'success',
    })
    expect((await received).payload.length).toBe(payload.length)
    expect(
      await send(alice, 'publish', { topic: 'public:a', payload: `${payload}x` }),
    ).toMatchObject({ status: 'error' })
  })
})

describe('the bytes of a socket', () => {
  const payload = 'x'.repeat(100_000)
  const limits = { bytesPerSecond: 100_100, bytesBurst: 1_001_000 }

  test('beyond a burst get invalid_message, and are accepted at the rate', async () => {
    await using host = startHost({ guests, limits })
    const alice = await host.connected('alice')
    const publish = async () =>
      (await send(alice, 'publish', { topic: 'public:a', payload })).status
    const statuses: string[] = []
    for (let i = 0; i < 12; i += 1) statuses.push(await publish())
    expect(statuses).toEqual([...new Array(10).fill('success'), ...new Array(2).fill('error')])
    host.clock.nowMs += 2000
    expect(await publish()).toBe('success')
    expect(await send(alice, 'subscribe', { topic: 'public:a' })).toMatchObject({
      status: 'success',
    })
  })

  test('count whatever the event and wherever the message has them', async () => {
    await using host = startHost({ guests, limits })
    const alice = await host.connected('alice')
    const acks = collect<{ error?: string }>(alice, 'ack')
    for (let i = 0; i < 8; i += 1)
      alice.emit('subscribe', { topic: 'public:a', messageId: `${i}`, [`x${payload}`]: payload })
    await until(() => acks.length === 8)
    expect(acks.at(-1)).toMatchObject({ error: 'too many bytes a second' })
  })

  test('beyond twice the limit end the connection before they are parsed', async () => {
    await using host = startHost({ guests, limits })
    const alice = await rawMember(host.url, 'alice')
    for (let i = 0; i < 22; i += 1) alice.send(`42["publish",${JSON.stringify({ payload })}]`)
    await until(() => alice.isClosed())
    expect(host.realtime.stats().ended).toEqual({ flood: 1 })
  })
})

describe('a subscriber that does not read', () => {
  const payload = 'x'.repeat(200_000)
  const neverMs = 600_000
  const bytesBurst = 64 * 1024 * 1024

  test('over websocket is terminated by the send beyond its bound, and delays no other socket', async () => {
    await using host = startHost({
      guests,
      limits: { bufferedBytesMax: 2_000_000, messagesBurst: 10_000, bytesBurst, sweepMs: neverMs },
    })
    const slow = await silentSubscriber(host.url, { token: 'alice', topics: ['public:a'] })
    const bob = await host.connected('bob')
    await send(bob, 'subscribe', { topic: 'public:a' })
    const received = collect(bob, 'message')
    const alice = await host.connected('alice')
    let sent = 0
    await until(async () => {
      sent += 1
      await send(alice, 'publish', { topic: 'public:a', payload })
      return (host.realtime.stats().ended.slow ?? 0) > 0
    })
    await until(() => received.length === sent)
    // The socket buffers of the kernel take some megabytes more, which the server does not count.
    expect(sent * payload.length).toBeLessThan(12_000_000)
    await until(() => host.realtime.stats().sockets === 2)
    // The server discards the send buffer at once, instead of keeping it until the client reads.
    expect(await slow.drain()).toBeLessThan(sent * payload.length - 1_500_000)
  })

  test('over polling is terminated as well', async () => {
    await using host = startHost({
      guests,
      limits: { bufferedBytesMax: 2_000_000, messagesBurst: 10_000, bytesBurst },
    })
    await silentPoller(host.url)
    const alice = await host.connected('alice')
    for (let i = 0; i < 20; i += 1) await send(alice, 'publish', { topic: 'public:a', payload })
    await until(() => (host.realtime.stats().ended.slow ?? 0) > 0)
    await until(() => host.realtime.stats().sockets === 1)
  })

  test('over polling is terminated when all buffers together exceed their bound, the largest first', async () => {
    const limits = { bufferedBytesTotalMax: 3_000_000, messagesBurst: 10_000, bytesBurst }
    await using host = startHost({ guests, limits })
    await silentPoller(host.url, 'public:b')
    await silentPoller(host.url)
    const alice = await host.connected('alice')
    await send(alice, 'publish', { topic: 'public:b', payload })
    for (let i = 0; i < 16; i += 1) await send(alice, 'publish', { topic: 'public:a', payload })
    await until(() => (host.realtime.stats().ended.slow ?? 0) > 0)
    expect(host.realtime.stats()).toMatchObject({ sockets: 2, ended: { slow: 1 } })
  })

  test('over websocket is terminated when all buffers together exceed their bound', async () => {
    const limits = { bufferedBytesMax: 100_000_000, bufferedBytesTotalMax: 1_000_000, bytesBurst }
    await using host = startHost({ guests, limits: { ...limits, messagesBurst: 10_000 } })
    const small = await silentSubscriber(host.url, { token: 'alice', topics: ['public:b'] })
    const large = await silentSubscriber(host.url, { token: 'alice', topics: ['public:a'] })
    const alice = await host.connected('alice')
    await send(alice, 'publish', { topic: 'public:b', payload })
    let sent = 0
    await until(async () => {
      sent += 1
      await send(alice, 'publish', { topic: 'public:a', payload })
      return (host.realtime.stats().ended.slow ?? 0) > 0
    })
    expect(sent * payload.length).toBeLessThan(12_000_000)
    await until(() => host.realtime.stats().sockets === 2)
    expect(host.realtime.stats().ended).toEqual({ slow: 1 })
    expect(await large.drain()).toBeLessThan(sent * payload.length - 500_000)
    small.close()
  })
})

describe('connections', () => {
  test('beyond the rate of an address get 429 with Retry-After, on both transports', async () => {
    const asked: string[] = []
    const waitSeconds = (ip: string) => (asked.push(ip) > 1 ? 7 : 0)
    await using host = startHost({ guests, waitSeconds })
    await host.connected('alice', { transports: ['websocket'] })
    const reply = await fetch(`${host.url}/socket.io/?EIO=4&transport=polling`)
    expect(reply.status).toBe(429)
    expect(reply.headers.get('retry-after')).toBe('7')
    const refused = host.client('bob', { transports: ['websocket'], reconnection: false })
    expect(await next<Error>(refused, 'connect_error')).toBeInstanceOf(Error)
    expect(asked).toEqual(['127.0.0.1', '127.0.0.1', '127.0.0.1'])
    expect(host.realtime.stats().refused).toEqual({ rate: 2 })
  })

  test('with an empty or unknown session id count for the rate, too', async () => {
    await using host = startHost({ guests, waitSeconds: () => 7 })
    const statusOf = async (query: string) =>
      (await fetch(`${host.url}/socket.io/?EIO=4&transport=polling&${query}`)).status
    expect(await statusOf('sid=')).toBe(429)
    expect(await statusOf('sid=&sid=x')).toBe(429)
    expect(await statusOf('sid')).toBe(429)
    expect(await statusOf('sid=x')).toBe(400)
    expect(host.realtime.stats().connections).toBe(0)
  })

  test('from one /64 count together', async () => {
    const asked: string[] = []
    const waitSeconds = (sender: string) => asked.push(sender) * 0
    let at = 0
    const clientIp = () => {
      at += 1
      return `2001:db8:0:1::${at}`
    }
    await using host = startHost({ guests, clientIp, waitSeconds })
    for (let i = 0; i < 2; i += 1) await fetch(`${host.url}/socket.io/?EIO=4&transport=polling`)
    expect(new Set(asked)).toEqual(new Set(['2001:db8:0:1::/64']))
  })

  test('count once for the rate, however many requests polling makes', async () => {
    const asked: string[] = []
    await using host = startHost({ guests, waitSeconds: (ip) => asked.push(ip) * 0 })
    const alice = await host.connected('alice')
    await until(() => alice.io.engine.transport.name === 'websocket')
    expect(asked).toHaveLength(1)
  })

  test('beyond the capacity of the server get 503', async () => {
    await using host = startHost({ guests, limits: { socketsMax: 1 } })
    const alice = await host.connected('alice')
    expect((await fetch(`${host.url}/socket.io/?EIO=4&transport=polling`)).status).toBe(503)
    alice.disconnect()
    await until(async () => (await fetch(`${host.url}/socket.io/?EIO=4&transport=polling`)).ok)
  })
})

describe('a bucket', () => {
  test('allows a burst, then the rate, and never more than the burst at once', () => {
    const take = createBucket({ perSecond: 10, burst: 3 })
    const taken = (nowMs: number) => [1, 2, 3, 4].filter(() => take(nowMs)).length
    expect(taken(1000)).toBe(3)
    expect(taken(1050)).toBe(0)
    expect(taken(1100)).toBe(1)
    expect(taken(60_000)).toBe(3)
  })

  test('continues at the rate after the clock goes back', () => {
    const take = createBucket({ perSecond: 10, burst: 1 })
    expect(take(10_000)).toBe(true)
    expect(take(5000)).toBe(false)
    expect(take(5100)).toBe(true)
  })
})

/** A polling client that subscribes and never polls again. */
async function silentPoller(url: string, topic = 'public:a'): Promise<void> {
  const base = `${url}/socket.io/?EIO=4&transport=polling`
  const { sid } = JSON.parse((await (await fetch(base)).text()).slice(1))
  const post = (body: string) => fetch(`${base}&sid=${sid}`, { method: 'POST', body })
  await post('40{"token":"alice"}')
  expect(await (await fetch(`${base}&sid=${sid}`)).text()).toStartWith('40')
  await post(`42["subscribe",{"topic":"${topic}","messageId":"m"}]`)
  expect(await (await fetch(`${base}&sid=${sid}`)).text()).toContain('ack')
}
