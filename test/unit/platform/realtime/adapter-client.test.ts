import { describe, expect, test } from 'bun:test'
import { createAdapterClient } from '../../../../src/platform/realtime/adapter-client.ts'
import type { RedisStreams } from '../../../../src/redis/redis.ts'

const unavailable = async () => {
  throw new Error('connection lost')
}

function fakeRedis(call: RedisStreams['call']) {
  const calls: unknown[] = []
  let open = 0
  const recorded: RedisStreams['call'] = (command, values) => {
    calls.push([command, ...values])
    return call(command, values)
  }
  const redis: RedisStreams = {
    call: recorded,
    close() {},
    connectReader() {
      open += 1
      return {
        call: recorded,
        close() {
          open -= 1
        },
      }
    },
  }
  return { redis, calls, open: () => open }
}

describe("the adapter's Redis client", () => {
  test.each([
    ['RESP2', [['s', [['1-0', ['a', 'b']]]]]],
    ['RESP3, flat', ['s', [['1-0', ['a', 'b']]]]],
    ['RESP3, as an object', { s: [['1-0', ['a', 'b']]] }],
  ])('reads the reply of %s', async (_, reply) => {
    const { client } = createAdapterClient(fakeRedis(async () => reply).redis, () => {})
    expect(await client.duplicate().xread('BLOCK', 1)).toEqual([['s', [['1-0', ['a', 'b']]]]])
  })

  test('reads null if the stream has no new entry', async () => {
    const { client } = createAdapterClient(fakeRedis(async () => null).redis, () => {})
    expect(await client.duplicate().xread('BLOCK', 1)).toBeNull()
  })

  test('pauses after a failed read, and reconnects', async () => {
    const { redis, open } = fakeRedis(unavailable)
    const { client } = createAdapterClient(redis, () => {})
    const startedMs = performance.now()
    await expect(client.duplicate().xread('BLOCK', 1)).rejects.toThrow('connection lost')
    expect(performance.now() - startedMs).toBeGreaterThan(400)
    expect(open()).toBe(0)
  })

  test('reports failed writes, and does not reject where the adapter handles no rejection', async () => {
    const failures: string[] = []
    const onFailure = () => void failures.push('failed')
    const { client } = createAdapterClient(fakeRedis(unavailable).redis, onFailure)
    await expect(client.xadd(['s'])).rejects.toThrow('connection lost')
    await client.set('k', 'v')
    expect(failures).toHaveLength(2)
  })

  test('reads and deletes a session with one GETDEL', async () => {
    const { redis, calls } = fakeRedis(async () => 'session')
    const { client } = createAdapterClient(redis, () => {})
    expect(await client.multi().get('k').del().exec()).toEqual([[null, 'session']])
    expect(calls).toEqual([['GETDEL', 'k']])
  })

  test('opens a connection at the first read only, and closes it', async () => {
    const { redis, open } = fakeRedis(async () => null)
    const { client, close } = createAdapterClient(redis, () => {})
    client.duplicate().subscribe()
    expect(open()).toBe(0)
    await client.duplicate().xread('BLOCK', 1)
    expect(open()).toBe(1)
    close()
    expect(open()).toBe(0)
  })
})
