import { describe, expect, test } from 'bun:test'
import {
  createAdapterClient,
  type RedisStreams,
} from '../../../../src/platform/realtime/adapter-client.ts'

const away = async () => {
  throw new Error('connection lost')
}

function fakeRedis(call: RedisStreams['call']) {
  const calls: unknown[] = []
  let open = 0
  const noted: RedisStreams['call'] = (command, values) => {
    calls.push([command, ...values])
    return call(command, values)
  }
  const redis: RedisStreams = {
    call: noted,
    connectReader() {
      open += 1
      return {
        call: noted,
        close() {
          open -= 1
        },
      }
    },
  }
  return { redis, calls, open: () => open }
}

describe("the adapter's client", () => {
  test.each([
    ['RESP2', [['s', [['1-0', ['a', 'b']]]]]],
    ['RESP3, flat', ['s', [['1-0', ['a', 'b']]]]],
    ['RESP3, as an object', { s: [['1-0', ['a', 'b']]] }],
  ])('reads a stream as %s answers', async (_, reply) => {
    const { client } = createAdapterClient(fakeRedis(async () => reply).redis, () => {})
    expect(await client.duplicate().xread('BLOCK', 1)).toEqual([['s', [['1-0', ['a', 'b']]]]])
  })

  test('reads nothing where nothing came', async () => {
    const { client } = createAdapterClient(fakeRedis(async () => null).redis, () => {})
    expect(await client.duplicate().xread('BLOCK', 1)).toBeNull()
  })

  test('does not spin while Redis is away, and connects anew', async () => {
    const { redis, open } = fakeRedis(away)
    const { client } = createAdapterClient(redis, () => {})
    const startedMs = performance.now()
    await expect(client.duplicate().xread('BLOCK', 1)).rejects.toThrow('connection lost')
    expect(performance.now() - startedMs).toBeGreaterThan(400)
    expect(open()).toBe(0)
  })

  test('counts what could not be told to other nodes, and never rejects where nobody looks', async () => {
    const failures: string[] = []
    const onFailure = () => void failures.push('failed')
    const { client } = createAdapterClient(fakeRedis(away).redis, onFailure)
    await expect(client.xadd(['s'])).rejects.toThrow('connection lost')
    await client.set('k', 'v')
    expect(failures).toHaveLength(2)
  })

  test('takes a session up once, in one command', async () => {
    const { redis, calls } = fakeRedis(async () => 'session')
    const { client } = createAdapterClient(redis, () => {})
    expect(await client.multi().get('k').del().exec()).toEqual([[null, 'session']])
    expect(calls).toEqual([['GETDEL', 'k']])
  })

  test('opens no connection for channels that nobody speaks in, and closes those it has', async () => {
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
