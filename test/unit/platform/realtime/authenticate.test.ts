import { describe, expect, test } from 'bun:test'
import { aliceLogin, bobLogin, post, shopLogin, startAuth, tokenOf } from '../../../support/auth.ts'
import { collect, next, send, startHost } from '../../../support/socket-host.ts'
import { until } from '../../../support/until.ts'

const success = { status: 'success' }
const denied = { status: 'error', error: 'Permission denied' }

/** Auth and realtime, connected as in the server, with one clock. */
async function startBoth() {
  const auth = await startAuth()
  const host = startHost({ auth: auth.auth, now: () => auth.clock.nowMs })
  auth.auth.onRevoked((session) => host.realtime.endSession(session))
  return {
    ...host,
    ...auth,
    async [Symbol.asyncDispose]() {
      await host[Symbol.asyncDispose]()
      auth[Symbol.dispose]()
    },
  }
}

describe('an access token', () => {
  test.each([
    ['bare', (token: string) => token],
    ['with Bearer', (token: string) => `Bearer ${token}`],
  ])('opens a socket, %s, with the permissions of its scope', async (_, format) => {
    await using both = await startBoth()
    const scope = ['private:stock:subscribe']
    const { access_token } = await tokenOf(both.auth, { ...shopLogin, scope })
    const shop = await both.connected(format(access_token))
    const ask = (event: string, topic: string) => send(shop, event, { topic, payload: 1 })
    expect(await ask('subscribe', 'private:stock')).toMatchObject(success)
    expect(await ask('publish', 'private:stock')).toMatchObject(denied)
    expect(await ask('subscribe', 'private:orders')).toMatchObject(denied)
    expect(await ask('publish', 'system:notifications')).toMatchObject(denied)
    expect(await ask('subscribe', 'public:news')).toMatchObject(success)
  })

  test('of a public client opens public channels only', async () => {
    await using both = await startBoth()
    const anonymous = { grant_type: 'client_credentials', client_id: 'page' }
    const { access_token } = await tokenOf(both.auth, anonymous)
    const page = await both.connected(access_token)
    expect(await send(page, 'subscribe', { topic: 'public:news' })).toMatchObject(success)
    for (const topic of ['private:orders', 'user:page', 'user:u1'])
      expect(await send(page, 'subscribe', { topic })).toMatchObject(denied)
  })

  test("does not open another user's channel", async () => {
    await using both = await startBoth()
    const alice = await both.connected((await tokenOf(both.auth, aliceLogin)).access_token)
    const bob = await both.connected((await tokenOf(both.auth, bobLogin)).access_token)
    expect(await send(alice, 'subscribe', { topic: 'user:u1' })).toMatchObject(success)
    expect(await send(bob, 'subscribe', { topic: 'user:u1' })).toMatchObject(denied)
    const received = collect(alice, 'message')
    expect(await send(bob, 'publish', { topic: 'user:u1', payload: 1 })).toMatchObject(denied)
    expect(received).toEqual([])
  })

  test('ends its socket when it expires', async () => {
    await using both = await startBoth()
    const { access_token } = await tokenOf(both.auth, aliceLogin)
    const alice = await both.connected(access_token)
    const authError = next(alice, 'auth_error')
    both.clock.nowMs += 3_600_000
    expect(await authError).toMatchObject({ code: 'token_expired' })
    const again = both.client(access_token)
    expect(await next(again, 'auth_error')).toMatchObject({ code: 'token_expired' })
  })

  test('ends its socket at once when its refresh token is reused, and opens no other', async () => {
    await using both = await startBoth()
    const { access_token, refresh_token } = await tokenOf(both.auth, aliceLogin)
    const bob = await both.connected((await tokenOf(both.auth, bobLogin)).access_token)
    const alice = await both.connected(access_token)
    const authError = next(alice, 'auth_error')
    await both.auth.refresh(post({ refresh_token }), '')
    await both.auth.refresh(post({ refresh_token }), '')
    expect(await authError).toMatchObject({ code: 'token_revoked' })
    const again = both.client(access_token)
    expect(await next(again, 'auth_error')).toMatchObject({ code: 'token_revoked' })
    expect(bob.connected).toBe(true)
  })

  test('ends its socket when its user is removed from the projects file', async () => {
    await using both = await startBoth()
    const alice = await both.connected((await tokenOf(both.auth, aliceLogin)).access_token)
    const bob = await both.connected((await tokenOf(both.auth, bobLogin)).access_token)
    const authError = next(alice, 'auth_error')
    both.accounts.users = both.accounts.users.filter(({ username }) => username !== 'alice')
    expect(await authError).toMatchObject({ code: 'token_revoked' })
    await until(() => both.realtime.stats().sockets === 1)
    expect(bob.connected).toBe(true)
  })

  test.each([
    ['nothing', undefined, 'token_missing'],
    ['an object', { token: 'x' }, 'token_missing'],
    ['nonsense', 'Bearer nonsense', 'token_invalid'],
    ['alg none', `${btoa('{"alg":"none"}')}.${btoa('{"sub":"u1"}')}.`, 'token_invalid'],
  ])('is required: %s is rejected', async (_, token, code) => {
    await using both = await startBoth()
    expect(await next(both.client(token), 'auth_error')).toMatchObject({ code })
    expect(both.realtime.stats()).toMatchObject({ sockets: 0, refused: { [code]: 1 } })
  })
})

describe('realtime', () => {
  test('is healthy until it closes', async () => {
    await using both = await startBoth()
    expect(both.realtime.isHealthy()).toBe(true)
    await both.realtime.close()
    expect(both.realtime.isHealthy()).toBe(false)
  })
})
