import { describe, expect, test } from 'bun:test'
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Log } from '../../../../src/core/log.ts'
import type { Reply } from '../../../../src/core/protocol.ts'
import type { Auth } from '../../../../src/platform/auth/auth.ts'
import type { RefreshStore } from '../../../../src/platform/auth/refresh.ts'
import { createSqliteRefreshStore } from '../../../../src/platform/auth/refresh-sqlite.ts'
import { createPasswordThread } from '../../../../src/platform/auth/secrets.ts'
import {
  alice,
  aliceLogin,
  bob,
  bobLogin,
  page,
  post,
  shop,
  shopLogin,
  startAuth,
  type TestAuth,
  type TokenBody,
  tokenOf,
} from '../../../support/auth.ts'
import { temporaryFolder } from '../../../support/folder.ts'
import { until } from '../../../support/until.ts'

const ip = '203.0.113.1'
const bodyOf = (reply: Reply) => JSON.parse(reply.body!)
const verify = (auth: Auth, token: string) =>
  auth.verify(
    new Request('http://127.0.0.1/', { headers: { authorization: `Bearer ${token}` } }),
    ip,
  )

/** The settings of `startAuth`, without a folder. */
const defaultSettings = () => ({
  ...{ keysFile: undefined, issuer: 'spillway', accessSeconds: 3600, refreshSeconds: 86_400 },
  ...{ sessionSeconds: 604_800, publicUrl: undefined, production: false, dataDir: '' },
})

describe('/api/auth/token', () => {
  test('answers client credentials with the fields of the contract', async () => {
    using server = await startAuth()
    const reply = await server.auth.token(post(shopLogin), ip)
    expect(reply.status).toBe(200)
    expect(reply.headers).toMatchObject({ 'cache-control': 'no-store', pragma: 'no-cache' })
    expect(bodyOf(reply)).toEqual({
      access_token: expect.any(String),
      token_type: 'Bearer',
      expires_in: 3600,
      refresh_token: expect.any(String),
      scope: ['public:*', ...shop.permissions],
    })
  })

  test('accepts a form with Basic authentication', async () => {
    using server = await startAuth()
    const request = new Request('http://127.0.0.1/', {
      method: 'POST',
      headers: { authorization: `Basic ${btoa('shop:shop-secret')}` },
      body: new URLSearchParams({ grant_type: 'client_credentials', scope: 'private:orders' }),
    })
    // RFC 6749 §5.1: the reply to a form has the scope as a string.
    expect(bodyOf(await server.auth.token(request, ip)).scope).toBe('private:orders')
  })

  test('grants a user the permissions of the user', async () => {
    using server = await startAuth()
    const { access_token, scope } = await tokenOf(server.auth, aliceLogin)
    expect(scope).toEqual(['public:*', 'private:*'])
    expect(await server.auth.authenticate(access_token)).toMatchObject({
      identity: { kind: 'user', id: 'u1', clientId: 'shop' },
    })
  })

  test('grants a public client public:* only, whatever its configuration or scope', async () => {
    using server = await startAuth()
    const anonymous = { grant_type: 'client_credentials', client_id: 'page' }
    expect(await tokenOf(server.auth, anonymous)).toMatchObject({ scope: ['public:*'] })
    expect(await tokenOf(server.auth, anonymous)).not.toHaveProperty('refresh_token')
    const asUser = { ...aliceLogin, client_id: 'page', client_secret: undefined }
    expect((await tokenOf(server.auth, asUser)).scope).toEqual(['public:*'])
  })

  test.each([
    ['a wrong secret', { ...shopLogin, client_secret: 'guess' }, 401, 'invalid_client'],
    ['no secret', { ...shopLogin, client_secret: undefined }, 401, 'invalid_client'],
    ['an unknown client', { ...shopLogin, client_id: 'nobody' }, 401, 'invalid_client'],
    ['an inherited name', { ...shopLogin, client_id: '__proto__' }, 401, 'invalid_client'],
    ['a wrong password', { ...aliceLogin, password: 'guess' }, 400, 'invalid_grant'],
    ['an unknown user', { ...aliceLogin, username: 'nobody' }, 400, 'invalid_grant'],
    ['a missing password', { ...aliceLogin, password: undefined }, 400, 'invalid_request'],
    ['a missing client_id', { ...shopLogin, client_id: undefined }, 400, 'invalid_request'],
    ['another grant', { ...shopLogin, grant_type: 'implicit' }, 400, 'unsupported_grant_type'],
    [
      'a scope beyond its permissions',
      { ...shopLogin, scope: ['private:x'] },
      400,
      'invalid_scope',
    ],
    [
      'a made-up refresh token',
      { ...shopLogin, grant_type: 'refresh_token', refresh_token: 'x' },
      400,
      'invalid_grant',
    ],
    ['no refresh token', { ...shopLogin, grant_type: 'refresh_token' }, 400, 'invalid_request'],
  ])('rejects %s', async (_, fields, status, error) => {
    using server = await startAuth()
    const reply = await server.auth.token(post(fields), ip)
    expect(reply.status).toBe(status)
    expect(bodyOf(reply)).toEqual({ error, error_description: expect.any(String) })
  })

  test('gives the same reply for an unknown name as for a wrong secret or password', async () => {
    using server = await startAuth()
    const answers = async (...requests: object[]) =>
      new Set(
        await Promise.all(
          requests.map(async (fields) => JSON.stringify(await server.auth.token(post(fields), ip))),
        ),
      )
    const clients = [{ client_id: 'nobody' }, { client_secret: 'guess' }]
    expect(await answers(...clients.map((wrong) => ({ ...shopLogin, ...wrong })))).toHaveProperty(
      'size',
      1,
    )
    const users = [{ username: 'nobody' }, { password: 'guess' }]
    expect(await answers(...users.map((wrong) => ({ ...aliceLogin, ...wrong })))).toHaveProperty(
      'size',
      1,
    )
  })

  test('compares a hash for an unknown client, too', async () => {
    const compared: string[] = []
    const verifier = {
      verify: async (_: string, hash: string) => compared.push(hash) < 0,
      close() {},
    }
    using server = await startAuth({ verifier })
    await server.auth.token(post({ ...shopLogin, client_id: 'nobody' }), ip)
    expect(compared).toHaveLength(1)
  })

  test('answers 429 with Retry-After beyond the rate of an address', async () => {
    const asked: string[] = []
    using server = await startAuth({ waitSeconds: (clientIp) => asked.push(clientIp) * 7 })
    const reply = await server.auth.token(post(shopLogin), ip)
    expect(reply).toMatchObject({ status: 429, headers: { 'retry-after': '7' } })
    expect(asked).toEqual([ip])
  })

  test('rejects a large body without reading it all', async () => {
    using server = await startAuth()
    let pulled = 0
    const endless = new ReadableStream({
      pull(controller) {
        pulled += 1
        controller.enqueue(new Uint8Array(4096))
      },
    })
    const request = new Request('http://127.0.0.1/', { method: 'POST', body: endless })
    expect(await server.auth.token(request, ip)).toMatchObject({ status: 413 })
    expect(pulled).toBeLessThan(20)
  })

  test('bounds the queue of verifications under a login flood and answers 503 beyond it', async () => {
    const held: (() => void)[] = []
    const verifier = {
      verify: () => new Promise<boolean>((resolve) => held.push(() => resolve(false))),
      close() {},
    }
    using server = await startAuth({ verifier })
    const flood = Array.from({ length: 500 }, (_, i) =>
      server.auth.token(post({ ...shopLogin, client_secret: `guess ${i}` }), ip),
    )
    // One is verified, and 32 wait.
    const refused = await Promise.all(flood.slice(100))
    expect(held).toHaveLength(1)
    for (const reply of refused)
      expect(reply).toMatchObject({ status: 503, headers: { 'retry-after': '2' } })
    for (let at = 0; at < 6; at += 1) {
      await until(() => held.length > at)
      held[at]!()
    }
    const statuses = (await Promise.all(flood)).map(({ status }) => status)
    // After the sixth failure the address has to wait, so the other 27 are not verified.
    expect(statuses.filter((status) => status === 401)).toHaveLength(6)
    expect(statuses.filter((status) => status === 429)).toHaveLength(27)
    expect(held).toHaveLength(6)
  })

  test('logs rejections without submitted secrets or names', async () => {
    const lines: unknown[] = []
    const note = (...line: unknown[]) => void lines.push(line)
    const log: Log = { debug: note, info: note, warn: note, error: note }
    using server = await startAuth({ log })
    await server.auth.token(post({ ...shopLogin, client_secret: 'hunter2' }), ip)
    await server.auth.token(post({ ...aliceLogin, username: 'hunter2', password: 'hunter3' }), ip)
    expect(lines).toHaveLength(2)
    expect(JSON.stringify(lines)).not.toContain('hunter')
  })
})

describe('/api/auth/refresh', () => {
  const renew = (auth: Auth, refresh_token: unknown) => auth.refresh(post({ refresh_token }), ip)

  test('answers with the fields of the contract and another refresh token', async () => {
    using server = await startAuth()
    const { refresh_token } = await tokenOf(server.auth, aliceLogin)
    const renewed = bodyOf(await renew(server.auth, refresh_token))
    expect(renewed).toEqual({
      access_token: expect.any(String),
      token_type: 'Bearer',
      expires_in: 3600,
      refresh_token: expect.any(String),
    })
    expect(renewed.refresh_token).not.toBe(refresh_token)
    expect((await verify(server.auth, renewed.access_token)).status).toBe(200)
  })

  test('rejects a reused token and revokes its whole family at once', async () => {
    using server = await startAuth()
    const revoked: string[] = []
    server.auth.onRevoked((session) => revoked.push(session))
    const first = await tokenOf(server.auth, aliceLogin)
    const second = bodyOf(await renew(server.auth, first.refresh_token))
    const authentication = await server.auth.authenticate(second.access_token)
    if (!('identity' in authentication)) throw new Error(authentication.fault)

    const replayed = await renew(server.auth, first.refresh_token)
    expect(replayed).toMatchObject({ status: 400 })
    expect(bodyOf(replayed).error).toBe('invalid_grant')
    expect(await renew(server.auth, second.refresh_token)).toMatchObject({ status: 400 })
    expect(await verify(server.auth, second.access_token)).toMatchObject({ status: 401 })
    expect(server.auth.isCurrent(authentication.identity)).toBe(false)
    expect(revoked[0]).toBe(authentication.identity.session!)
  })

  test('keeps other sessions of the same user after a reuse', async () => {
    using server = await startAuth()
    const one = await tokenOf(server.auth, aliceLogin)
    const other = await tokenOf(server.auth, aliceLogin)
    await renew(server.auth, one.refresh_token)
    await renew(server.auth, one.refresh_token)
    expect((await verify(server.auth, other.access_token)).status).toBe(200)
    expect((await renew(server.auth, other.refresh_token)).status).toBe(200)
  })

  test('does not revoke a session for a token forged from the sid claim', async () => {
    using server = await startAuth()
    const { access_token, refresh_token } = await tokenOf(server.auth, aliceLogin)
    const { sid } = JSON.parse(
      atob(access_token.split('.')[1]!.replaceAll('-', '+').replaceAll('_', '/')),
    )
    await renew(server.auth, `${sid}.${'x'.repeat(43)}`)
    expect((await renew(server.auth, refresh_token)).status).toBe(200)
  })

  test('keeps the scope, and /token may narrow it', async () => {
    using server = await startAuth()
    const narrowed = await tokenOf(server.auth, { ...aliceLogin, scope: ['private:orders'] })
    const again = await tokenOf(server.auth, {
      ...shopLogin,
      grant_type: 'refresh_token',
      refresh_token: narrowed.refresh_token,
      scope: ['private:orders:subscribe'],
    })
    expect(again.scope).toEqual(['private:orders:subscribe'])
    const renewed = bodyOf(await renew(server.auth, again.refresh_token))
    expect(bodyOf(await verify(server.auth, renewed.access_token)).user.permissions).toEqual([
      'private:orders',
    ])
  })

  test('rejects the token of another client', async () => {
    using server = await startAuth()
    const { refresh_token } = await tokenOf(server.auth, aliceLogin)
    const theft = { grant_type: 'refresh_token', client_id: 'page', refresh_token }
    expect(await server.auth.token(post(theft), ip)).toMatchObject({ status: 400 })
    expect((await renew(server.auth, refresh_token)).status).toBe(200)
  })

  test('rejects an expired token', async () => {
    using server = await startAuth()
    const { refresh_token } = await tokenOf(server.auth, aliceLogin)
    server.clock.nowMs += 86_400_000
    expect((await renew(server.auth, refresh_token)).status).toBe(400)
  })

  test('answers 503 while the store is unavailable; a login then gets no refresh token', async () => {
    const unavailable = async () => {
      throw new Error('connection lost')
    }
    const store: RefreshStore = {
      ...{
        create: unavailable,
        rotate: unavailable,
        clientOf: unavailable,
        revoke: unavailable,
        isRevoked: unavailable,
        purge: unavailable,
      },
      close() {},
    }
    using server = await startAuth({ store })
    const reply = await renew(server.auth, `${'a'.repeat(24)}.${'b'.repeat(43)}`)
    expect(reply).toMatchObject({ status: 503, headers: { 'retry-after': '1' } })
    const login = await tokenOf(server.auth, shopLogin)
    expect(login).not.toHaveProperty('refresh_token')
    expect((await verify(server.auth, login.access_token)).status).toBe(200)
    expect(await server.auth.isHealthy()).toBe(false)
  })
})

describe('/api/auth/verify', () => {
  test('answers with the fields of the contract', async () => {
    using server = await startAuth()
    const { access_token } = await tokenOf(server.auth, aliceLogin)
    expect(bodyOf(await verify(server.auth, access_token))).toEqual({
      valid: true,
      user: {
        id: 'u1',
        email: 'alice@example.com',
        name: 'Alice',
        permissions: ['public:*', 'private:*'],
      },
      expires_at: server.clock.nowMs + 3_600_000,
    })
  })

  test.each([
    ['no token', {}],
    ['a bad token', { authorization: 'Bearer nonsense' }],
    ['Basic credentials', { authorization: 'Basic c2hvcDpzaG9wLXNlY3JldA==' }],
  ])('answers 401 for %s', async (_, headers) => {
    using server = await startAuth()
    const reply = await server.auth.verify(new Request('http://127.0.0.1/', { headers }), ip)
    expect(reply).toMatchObject({ status: 401, body: '{"valid":false}' })
  })

  test.each([
    ['its user was removed', { users: [bob] }],
    ['its client was removed', { clients: [page] }],
  ])('answers 401 after %s', async (_, change) => {
    using server = await startAuth()
    const { access_token, refresh_token } = await tokenOf(server.auth, aliceLogin)
    Object.assign(server.accounts, change)
    expect((await verify(server.auth, access_token)).status).toBe(401)
    expect((await server.auth.refresh(post({ refresh_token }), ip)).status).toBe(400)
  })

  test('drops a permission that a reload removed, and the identity is no longer current', async () => {
    using server = await startAuth()
    const { access_token } = await tokenOf(server.auth, aliceLogin)
    const authentication = await server.auth.authenticate(access_token)
    if (!('identity' in authentication)) throw new Error(authentication.fault)
    expect(server.auth.isCurrent(authentication.identity)).toBe(true)
    server.accounts.users = [{ ...alice, permissions: ['private:orders'] }]
    expect(bodyOf(await verify(server.auth, access_token)).user.permissions).toEqual([
      'public:*',
      'private:orders',
    ])
    expect(server.auth.isCurrent(authentication.identity)).toBe(false)
  })
})

describe('a change of the projects file', () => {
  const second = { ...shop, secretHashes: ['hash:new-secret', 'hash:shop-secret'] }
  const works = async (server: TestAuth, { access_token, refresh_token }: TokenBody) => [
    (await verify(server.auth, access_token)).status,
    (await server.auth.refresh(post({ refresh_token }), ip)).status,
  ]

  test.each([
    ['the secret of its client', { clients: [{ ...shop, secretHashes: ['hash:other'] }] }],
    ['the password of its user', { users: [{ ...alice, passwordHash: 'hash:other' }] }],
    ['its client to a public one', { clients: [{ ...shop, secretHashes: [], public: true }] }],
  ])('that replaces %s ends a token, its session and its identity', async (_, change) => {
    using server = await startAuth()
    const login = await tokenOf(server.auth, aliceLogin)
    const authentication = await server.auth.authenticate(login.access_token)
    if (!('identity' in authentication)) throw new Error(authentication.fault)
    Object.assign(server.accounts, change)
    expect(server.auth.isCurrent(authentication.identity)).toBe(false)
    expect(await works(server, login)).toEqual([401, 400])
  })

  test('that adds a second secret ends nothing, and both secrets are valid', async () => {
    using server = await startAuth()
    const login = await tokenOf(server.auth, aliceLogin)
    server.accounts.clients = [second]
    expect(await works(server, login)).toEqual([200, 200])
    const byNew = await tokenOf(server.auth, { ...shopLogin, client_secret: 'new-secret' })
    const byOld = await tokenOf(server.auth, shopLogin)
    server.accounts.clients = [{ ...second, secretHashes: ['hash:new-secret'] }]
    expect(await works(server, byNew)).toEqual([200, 200])
    expect(await works(server, byOld)).toEqual([401, 400])
  })

  test('of other users and clients ends nothing', async () => {
    using server = await startAuth()
    const login = await tokenOf(server.auth, aliceLogin)
    server.accounts.clients = [{ ...shop }]
    server.accounts.users = [{ ...alice, name: 'Ada' }]
    expect(await works(server, login)).toEqual([200, 200])
  })
})

describe('a session', () => {
  test('ends at its absolute end, however often its token is renewed', async () => {
    using server = await startAuth()
    let { refresh_token } = await tokenOf(server.auth, aliceLogin)
    const renew = async () => await server.auth.refresh(post({ refresh_token }), ip)
    // Seven days, in steps that are shorter than a refresh token lives.
    for (let day = 0.9; day < 7; day += 0.9) {
      server.clock.nowMs += 0.9 * 86_400_000
      const reply = await renew()
      expect(reply.status).toBe(200)
      refresh_token = bodyOf(reply).refresh_token
    }
    server.clock.nowMs += 0.9 * 86_400_000
    expect((await renew()).status).toBe(400)
  })

  test('stays ended for its access tokens after its refresh token has expired', async () => {
    using folder = temporaryFolder()
    const settings = { ...defaultSettings(), refreshSeconds: 60, dataDir: folder.path }
    const open = () => createSqliteRefreshStore({ folder: folder.path })
    using server = await startAuth({ settings, store: open() })
    const first = await tokenOf(server.auth, aliceLogin)
    const renew = () => server.auth.refresh(post({ refresh_token: first.refresh_token }), ip)
    await renew()
    await renew()
    server.clock.nowMs += 120_000
    // Another process, which has not seen the revocation.
    const store = open()
    await store.purge(server.clock.nowMs)
    using restarted = await startAuth({ settings, store, now: () => server.clock.nowMs })
    expect((await verify(restarted.auth, first.access_token)).status).toBe(401)
  })
})

describe('client credentials beside a refresh token', () => {
  const renewed = async (fields: object, headers: Record<string, string> = {}) => {
    using server = await startAuth()
    const { refresh_token } = await tokenOf(server.auth, aliceLogin)
    return (await server.auth.refresh(post({ refresh_token, ...fields }, headers), ip)).status
  }

  test.each([
    ['the right ones', { client_id: 'shop', client_secret: 'shop-secret' }, {}, 200],
    ['the right id alone', { client_id: 'shop' }, {}, 200],
    ['a wrong secret', { client_id: 'shop', client_secret: 'guess' }, {}, 401],
    ['an unknown client', { client_id: 'nobody', client_secret: 'guess' }, {}, 401],
    ['the id of another client', { client_id: 'page' }, {}, 400],
    ['a secret without an id', { client_secret: 'shop-secret' }, {}, 400],
    ['a wrong Basic header', {}, { authorization: `Basic ${btoa('shop:guess')}` }, 401],
    ['a broken Basic header', {}, { authorization: 'Basic ?' }, 400],
    ['an old access token', {}, { authorization: 'Bearer old' }, 200],
  ])('%s', async (_, fields, headers, status) => {
    expect(await renewed(fields, headers)).toBe(status)
  })

  test('are asked for by /api/auth/token, unless the client is public', async () => {
    using server = await startAuth()
    const { refresh_token } = await tokenOf(server.auth, aliceLogin)
    const grant = { grant_type: 'refresh_token', refresh_token }
    const ask = async (fields: object) =>
      (await server.auth.token(post({ ...grant, ...fields }), ip)).status
    expect(await ask({ client_id: 'shop' })).toBe(401)
    expect(await ask({ client_id: 'shop', client_secret: 'guess' })).toBe(401)
    expect(await ask({})).toBe(400)
    expect(await ask({ client_id: 'shop', client_secret: 'shop-secret' })).toBe(200)
    const asUser = { ...aliceLogin, client_id: 'page', client_secret: undefined }
    const { refresh_token: ofPage } = await tokenOf(server.auth, asUser)
    expect(await ask({ client_id: 'page', refresh_token: ofPage })).toBe(200)
  })
})

describe('/api/auth/revoke', () => {
  const shopClient = { client_id: 'shop', client_secret: 'shop-secret' }
  const revoke = async ({ auth }: TestAuth, fields: object) => await auth.revoke(post(fields), ip)

  test.each(['access_token', 'refresh_token'] as const)(
    'of a %s ends its session',
    async (kind) => {
      using server = await startAuth()
      const ended: string[] = []
      server.auth.onRevoked((session) => ended.push(session))
      const login = await tokenOf(server.auth, aliceLogin)
      const other = await tokenOf(server.auth, aliceLogin)
      const reply = await revoke(server, { token: login[kind], ...shopClient })
      expect(reply.status).toBe(200)
      expect(ended).toHaveLength(1)
      expect((await verify(server.auth, login.access_token)).status).toBe(401)
      const { refresh_token } = login
      expect((await server.auth.refresh(post({ refresh_token }), ip)).status).toBe(400)
      expect((await verify(server.auth, other.access_token)).status).toBe(200)
    },
  )

  test('of a replaced refresh token ends its session', async () => {
    using server = await startAuth()
    const { refresh_token } = await tokenOf(server.auth, aliceLogin)
    const next = bodyOf(await server.auth.refresh(post({ refresh_token }), ip))
    await revoke(server, { token: refresh_token, ...shopClient })
    expect((await verify(server.auth, next.access_token)).status).toBe(401)
  })

  test('ends an access token that came without a refresh token', async () => {
    using server = await startAuth()
    const anonymous = { grant_type: 'client_credentials', client_id: 'page' }
    const one = await tokenOf(server.auth, anonymous)
    const other = await tokenOf(server.auth, anonymous)
    const reply = await revoke(server, { token: one.access_token, client_id: 'page' })
    expect(reply.status).toBe(200)
    expect((await verify(server.auth, one.access_token)).status).toBe(401)
    expect((await verify(server.auth, other.access_token)).status).toBe(200)
  })

  test.each([
    ['an unknown token', { token: 'unknown', ...shopClient }, 200],
    ['no token', shopClient, 400],
    ['no client', { token: 'unknown' }, 400],
    ['a wrong secret', { token: 'unknown', ...shopClient, client_secret: 'guess' }, 401],
    ['no secret', { token: 'unknown', client_id: 'shop' }, 401],
  ])('answers %s', async (_, fields, status) => {
    using server = await startAuth()
    expect((await revoke(server, fields)).status).toBe(status)
  })

  test.each(['access_token', 'refresh_token'] as const)(
    'leaves the %s of another client valid',
    async (kind) => {
      using server = await startAuth()
      const login = await tokenOf(server.auth, aliceLogin)
      const reply = await revoke(server, { token: login[kind], client_id: 'page' })
      expect(reply.status).toBe(400)
      expect(bodyOf(reply).error).toBe('invalid_grant')
      expect((await verify(server.auth, login.access_token)).status).toBe(200)
    },
  )

  test('survives a restart', async () => {
    using server = await startAuth()
    const { access_token } = await tokenOf(server.auth, {
      grant_type: 'client_credentials',
      client_id: 'page',
    })
    await revoke(server, { token: access_token, client_id: 'page' })
    using restarted = await startAuth({
      settings: { ...defaultSettings(), dataDir: server.folder },
      store: createSqliteRefreshStore({ folder: server.folder }),
      now: () => server.clock.nowMs,
    })
    expect((await verify(restarted.auth, access_token)).status).toBe(401)
  })
})

describe('a wrong secret', () => {
  const guess = async ({ auth }: TestAuth, { from = ip, ...fields }: Record<string, string> = {}) =>
    await auth.token(
      post({ ...aliceLogin, password: `guess ${crypto.randomUUID()}`, ...fields }),
      from,
    )

  test('makes its address wait, for this account only, and longer each time', async () => {
    using server = await startAuth()
    const replies: Reply[] = []
    for (let at = 0; at < 7; at += 1) replies.push(await guess(server))
    expect(replies.map(({ status }) => status)).toEqual([400, 400, 400, 400, 400, 400, 429])
    expect(replies[6]!.headers).toMatchObject({ 'retry-after': '1' })
    // The right password has to wait as well: otherwise the wait would not slow a guess.
    expect((await guess(server, { password: 'wonderland' })).status).toBe(429)
    expect((await server.auth.token(post(bobLogin), ip)).status).toBe(200)
    expect((await guess(server, { password: 'wonderland', from: '203.0.113.9' })).status).toBe(200)
    server.clock.nowMs += 1000
    expect((await guess(server)).status).toBe(400)
    expect((await guess(server)).headers).toMatchObject({ 'retry-after': '2' })
    server.clock.nowMs += 2000
    expect((await guess(server, { password: 'wonderland' })).status).toBe(200)
  })

  test('counts for the /64 of an IPv6 address', async () => {
    using server = await startAuth()
    const statuses: number[] = []
    for (let at = 0; at < 7; at += 1)
      statuses.push((await guess(server, { from: `2001:db8:0:1::${at}` })).status)
    expect(statuses.at(-1)).toBe(429)
    expect((await guess(server, { from: '2001:db8:0:2::1' })).status).toBe(400)
  })

  test('counts for an unknown name as for a known one', async () => {
    using server = await startAuth()
    const statusesOf = async (fields: Record<string, string>) => {
      const statuses: number[] = []
      for (let at = 0; at < 7; at += 1) statuses.push((await guess(server, fields)).status)
      return statuses
    }
    expect(await statusesOf({ username: 'nobody' })).toEqual(await statusesOf({}))
  })

  test('counts for a client, too', async () => {
    using server = await startAuth()
    const statuses: number[] = []
    for (let at = 0; at < 7; at += 1)
      statuses.push(
        (await server.auth.token(post({ ...shopLogin, client_secret: `${at}` }), ip)).status,
      )
    expect(statuses).toEqual([401, 401, 401, 401, 401, 401, 429])
  })

  test('for many names through one client makes its address wait', async () => {
    using server = await startAuth()
    const statuses: number[] = []
    for (let at = 0; at < 22; at += 1)
      statuses.push((await guess(server, { username: `user${at}` })).status)
    expect(statuses.slice(0, 21)).toEqual(new Array(21).fill(400))
    expect(statuses[21]).toBe(429)
  })
})

test('an unknown client or user is compared with hashes like those of a known one', async () => {
  const compared: string[] = []
  const verifier = {
    verify: async (_: string, hash: string) => compared.push(hash) < 0,
    close() {},
  }
  using server = await startAuth({ verifier })
  const parameters = '$argon2id$v=19$m=1024,t=3,p=1$'
  const hash = (digit: string) => `${parameters}${digit.repeat(43)}$${digit.repeat(43)}`
  server.accounts.clients = [{ ...shop, secretHashes: [hash('a'), hash('b')] }]
  server.accounts.users = [{ ...alice, passwordHash: hash('c') }]
  await server.auth.token(post({ ...shopLogin, client_id: 'nobody' }), ip)
  await server.auth.token(post(shopLogin), ip)
  expect(compared).toHaveLength(4)
  expect(compared.filter((text) => text.startsWith(parameters))).toHaveLength(4)
  expect(compared.slice(0, 2)).not.toContain(hash('a'))
})

test('a Basic header is read in each encoding that clients use', async () => {
  using server = await startAuth()
  server.accounts.clients = [{ ...shop, secretHashes: ['hash:a+b%'] }]
  for (const secret of ['a+b%', 'a%2Bb%25']) {
    const headers = { authorization: `Basic ${btoa(`shop:${secret}`)}` }
    const request = post({ grant_type: 'client_credentials' }, headers)
    expect((await server.auth.token(request, ip)).status).toBe(200)
  }
})

test('/.well-known/oauth-authorization-server names the endpoints at the address of the request', async () => {
  using server = await startAuth()
  const request = new Request('http://id.example/.well-known/oauth-authorization-server')
  const metadata = bodyOf(server.auth.metadata(request, true))
  expect(metadata).toMatchObject({
    issuer: 'https://id.example',
    token_endpoint: 'https://id.example/api/auth/token',
    revocation_endpoint: 'https://id.example/api/auth/revoke',
    jwks_uri: 'https://id.example/.well-known/jwks.json',
    grant_types_supported: ['client_credentials', 'password', 'refresh_token'],
  })
})

describe('the first client', () => {
  const loginOf = ({ id, secret }: { id: string; secret: string }) => ({
    grant_type: 'client_credentials',
    client_id: id,
    client_secret: secret,
  })

  test('is created without configured clients, with file mode 0600, and can log in', async () => {
    using server = await startAuth({ directory: noAccounts, verifier: createPasswordThread() })
    const path = join(server.folder, 'first-client.json')
    expect(statSync(path).mode & 0o777).toBe(0o600)
    const stored = JSON.parse(readFileSync(path, 'utf8'))
    const { secretHash, ...client } = stored
    expect(server.auth.firstClient).toEqual({ ...client, secretHashes: [secretHash] })
    expect(await tokenOf(server.auth, loginOf(stored))).toMatchObject({
      scope: ['public:*', 'private:*', 'system:notify'],
    })
    const wrong = post(loginOf({ ...stored, secret: 'guess' }))
    expect(await server.auth.token(wrong, ip)).toMatchObject({ status: 401 })
    // One hash and two verifications at full cost, in a thread of low priority.
  }, 30_000)

  test('does not exist with configured clients', async () => {
    using server = await startAuth()
    expect(server.auth.firstClient).toBeUndefined()
  })

  test('is rejected after a reload configured clients', async () => {
    let configured = false
    using server = await startAuth({
      directory: { ...noAccounts, hasClients: () => configured },
      verifier: { verify: async () => true, close() {} },
    })
    const login = loginOf(server.auth.firstClient!)
    expect(await server.auth.token(post(login), ip)).toMatchObject({ status: 200 })
    configured = true
    expect(await server.auth.token(post(login), ip)).toMatchObject({ status: 401 })
  })
})

test('auth is healthy while its keys and its store work', async () => {
  using server = await startAuth()
  expect(await server.auth.isHealthy()).toBe(true)
})

describe('/.well-known/jwks.json', () => {
  test('lets other programs verify an access token', async () => {
    using server = await startAuth()
    const { createLocalJWKSet, jwtVerify } = await import('jose')
    const { access_token } = await tokenOf(server.auth, shopLogin)
    const jwks = createLocalJWKSet(bodyOf(server.auth.jwks()))
    const { payload } = await jwtVerify(access_token, jwks, {
      audience: 'spillway',
      issuer: 'spillway',
      currentDate: new Date(server.clock.nowMs),
    })
    expect(payload).toMatchObject({ sub: 'shop', client_id: 'shop' })
  })
})

const noAccounts = {
  findClient: () => undefined,
  findUser: () => undefined,
  findUserById: () => undefined,
  hasClients: () => false,
  decoysOf: () => [],
}
