import { describe, expect, test } from 'bun:test'
import { collect, next, send, startHost } from '../../../support/socket-host.ts'
import { until } from '../../../support/until.ts'

const guests = { alice: { id: 'u1', session: 's1' }, bob: { id: 'u2', session: 's2' } }

describe('a live socket', () => {
  test.each([['websocket'], ['polling']])(
    'over %s ends when its token expires',
    async (transport) => {
      await using host = startHost({ guests })
      const alice = await host.connected('alice', { transports: [transport] })
      const told = next(alice, 'auth_error')
      const reasons = collect<string>(alice, 'disconnect')
      host.clock.nowMs += 3_600_000
      expect(await told).toEqual({ code: 'token_expired', message: 'the token has expired' })
      await until(() => reasons.length > 0)
      expect(reasons).toEqual(['io server disconnect'])
      expect(host.realtime.stats()).toMatchObject({ sockets: 0, ended: { token_expired: 1 } })
    },
  )

  test('does nothing more with an expired token, not even before it is ended', async () => {
    await using host = startHost({ guests })
    const alice = await host.connected('alice')
    const bob = await host.connected('bob')
    await send(bob, 'subscribe', { topic: 'public:a' })
    const heard = collect(bob, 'message')
    const told = next(alice, 'auth_error')
    host.guests.bob = { ...guests.bob }
    host.clock.nowMs += 3_600_000
    alice.emit('publish', { topic: 'public:a', payload: 1 })
    await told
    expect(heard).toEqual([])
  })

  test('ends when its session is revoked, and no other does', async () => {
    await using host = startHost({ guests })
    const alice = await host.connected('alice')
    const bob = await host.connected('bob')
    const told = next(alice, 'auth_error')
    host.realtime.endSession('s1')
    expect(await told).toMatchObject({ code: 'token_revoked' })
    await until(() => !alice.connected)
    expect(await send(bob, 'subscribe', { topic: 'public:a' })).toMatchObject({ status: 'success' })
  })

  test('ends when nobody stands behind its identity any more', async () => {
    let gone = ''
    await using host = startHost({
      gate: {
        authenticate: async (credential) => ({
          identity: {
            ...{ kind: 'user', id: String(credential), permissions: [], session: undefined },
            expiresAtMs: Number.POSITIVE_INFINITY,
          },
        }),
        isCurrent: ({ id }) => id !== gone,
      },
    })
    const alice = await host.connected('alice')
    const bob = await host.connected('bob')
    const told = next(alice, 'auth_error')
    gone = 'alice'
    expect(await told).toMatchObject({ code: 'token_revoked' })
    expect(bob.connected).toBe(true)
  })

  test('that sent heartbeats and stops is cut, and comes back by itself', async () => {
    await using host = startHost({ guests })
    const alice = await host.connected('alice')
    const bob = await host.connected('bob')
    alice.emit('heartbeat', { timestamp: Date.now() })
    await send(alice, 'subscribe', { topic: 'public:a' })
    const reasons = collect<string>(alice, 'disconnect')
    host.clock.nowMs += 90_000
    alice.emit('heartbeat', { timestamp: Date.now() })
    await send(alice, 'subscribe', { topic: 'public:a' })
    expect(reasons).toEqual([])
    host.clock.nowMs += 90_001
    await until(() => reasons.length > 0)
    expect(reasons).toEqual(['transport close'])
    await until(() => alice.connected, { what: 'the reconnection' })
    expect(host.realtime.stats().ended).toEqual({ heartbeat_missed: 1 })
    expect(bob.connected).toBe(true)
  })

  test('that cannot be judged is told so, and tries again', async () => {
    let isBroken = true
    await using host = startHost({
      gate: {
        authenticate: async () => {
          if (isBroken) throw new Error('database password is hunter2')
          return {
            identity: {
              ...{ kind: 'user', id: 'u1', permissions: [], session: undefined },
              expiresAtMs: Number.POSITIVE_INFINITY,
            },
          }
        },
        isCurrent: () => true,
      },
    })
    const alice = host.client('alice')
    const told = await next(alice, 'auth_error')
    expect(told).toMatchObject({ code: 'unavailable' })
    expect(JSON.stringify(told)).not.toContain('hunter2')
    isBroken = false
    await until(() => alice.connected && host.realtime.stats().sockets === 1)
  })
})
