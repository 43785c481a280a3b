import { describe, expect, test } from 'bun:test'
import type { Engine } from '../../../../src/platform/realtime/engine.ts'
import { defaultLimits } from '../../../../src/platform/realtime/limits.ts'
import { createMember, createMembers } from '../../../../src/platform/realtime/members.ts'
import type { IoSocket } from '../../../../src/platform/realtime/messages.ts'
import { collect, next, send, startHost, toIdentity } from '../../../support/socket-host.ts'
import { until } from '../../../support/until.ts'

const guests = { alice: { id: 'u1', session: 's1' }, bob: { id: 'u2', session: 's2' } }

describe('a live socket', () => {
  test.each([['websocket'], ['polling']])(
    'over %s ends when its token expires',
    async (transport) => {
      await using host = startHost({ guests })
      const alice = await host.connected('alice', { transports: [transport] })
      const authError = next(alice, 'auth_error')
      const reasons = collect<string>(alice, 'disconnect')
      host.clock.nowMs += 3_600_000
      expect(await authError).toEqual({ code: 'token_expired', message: 'the token has expired' })
      await until(() => reasons.length > 0)
      expect(reasons).toEqual(['io server disconnect'])
      expect(host.realtime.stats()).toMatchObject({ sockets: 0, ended: { token_expired: 1 } })
    },
  )

  test('ignores a message with an expired token before the sweep ends the socket', async () => {
    await using host = startHost({ guests })
    const alice = await host.connected('alice')
    const bob = await host.connected('bob')
    await send(bob, 'subscribe', { topic: 'public:a' })
    const received = collect(bob, 'message')
    const authError = next(alice, 'auth_error')
    host.guests.bob = { ...guests.bob }
    host.clock.nowMs += 3_600_000
    alice.emit('publish', { topic: 'public:a', payload: 1 })
    await authError
    expect(received).toEqual([])
  })

  test('ends when its session is revoked; other sessions stay', async () => {
    await using host = startHost({ guests })
    const alice = await host.connected('alice')
    const bob = await host.connected('bob')
    const authError = next(alice, 'auth_error')
    host.realtime.endSession('s1')
    expect(await authError).toMatchObject({ code: 'token_revoked' })
    await until(() => !alice.connected)
    expect(await send(bob, 'subscribe', { topic: 'public:a' })).toMatchObject({ status: 'success' })
  })

  test('ends when its identity is no longer current', async () => {
    let removed = ''
    await using host = startHost({
      auth: {
        authenticate: async (credential) => ({
          identity: toIdentity({ id: String(credential), expiresAtMs: Number.POSITIVE_INFINITY }),
        }),
        isCurrent: ({ id }) => id !== removed,
      },
    })
    const alice = await host.connected('alice')
    const bob = await host.connected('bob')
    const authError = next(alice, 'auth_error')
    removed = 'alice'
    expect(await authError).toMatchObject({ code: 'token_revoked' })
    expect(bob.connected).toBe(true)
  })

  test('is disconnected after missed heartbeats, and reconnects by itself', async () => {
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

  test('gets auth_error unavailable if its token cannot be verified, and retries', async () => {
    let isBroken = true
    await using host = startHost({
      auth: {
        authenticate: async () => {
          if (isBroken) throw new Error('database password is hunter2')
          return {
            identity: toIdentity({ expiresAtMs: Number.POSITIVE_INFINITY }),
          }
        },
        isCurrent: () => true,
      },
    })
    const alice = host.client('alice')
    const authError = await next(alice, 'auth_error')
    expect(authError).toMatchObject({ code: 'unavailable' })
    expect(JSON.stringify(authError)).not.toContain('hunter2')
    isBroken = false
    await until(() => alice.connected && host.realtime.stats().sockets === 1)
  })
})

test('a sweep checks identities when it is told to, else every fifth time', () => {
  let checks = 0
  const members = createMembers({
    engine: { bufferedBytes: () => 0 } as unknown as Engine,
    limits: defaultLimits,
    isCurrent() {
      checks += 1
      return true
    },
    end() {},
    now: () => 0,
  })
  const identity = toIdentity({})
  const socket = { id: 's', conn: {} } as unknown as IoSocket
  members.add(createMember({ socket, identity, ip: '', limits: defaultLimits }))
  members.sweep()
  expect(checks).toBe(0)
  members.checkIdentities()
  members.sweep()
  expect(checks).toBe(1)
  for (let sweep = 3; sweep <= 5; sweep += 1) members.sweep()
  expect(checks).toBe(2)
})
