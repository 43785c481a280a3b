import { Database } from 'bun:sqlite'
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import type { Family, RefreshStore, Rotation } from '../../../src/platform/auth/refresh.ts'
import { createRedisRefreshStore } from '../../../src/platform/auth/refresh-redis.ts'
import { createSqliteRefreshStore } from '../../../src/platform/auth/refresh-sqlite.ts'
import { temporaryFolder } from '../../support/folder.ts'
import { startRedis, type TestRedis } from '../../support/redis-server.ts'

const nowMs = Date.now()
const family: Family = {
  id: 'f',
  tokenHash: 'first',
  clientId: 'shop',
  kind: 'user',
  subject: 'u1',
  generation: 'generation',
  permissions: ['public:*', 'private:orders'],
  expiresAtMs: nowMs + 60_000,
  endsAtMs: nowMs + 90_000,
}
const rotation: Rotation = {
  id: 'f',
  presentedHash: 'first',
  nextHash: 'second',
  expiresAtMs: nowMs + 70_000,
  accessUntilMs: nowMs + 3_600_000,
  clientId: undefined,
  nowMs,
}

let redis: TestRedis
let connection: Redis
beforeAll(async () => {
  redis = await startRedis()
  connection = new Redis(redis.url)
})
afterAll(async () => {
  connection.disconnect()
  await redis[Symbol.asyncDispose]()
})

let prefixes = 0
function redisStore(prefix: string): RefreshStore {
  return createRedisRefreshStore({
    run: ({ lua }, key, args) => connection.eval(lua, 1, `${prefix}:${key}`, ...args),
  })
}
const stores: [string, (folder: string) => () => RefreshStore][] = [
  ['SQLite', (folder) => () => createSqliteRefreshStore({ folder })],
  [
    'Redis',
    () => {
      prefixes += 1
      const prefix = `test${prefixes}`
      return () => redisStore(prefix)
    },
  ],
]

describe.each(stores)('refresh families in %s', (_, prepare) => {
  async function inStore(run: (store: RefreshStore, reopen: () => RefreshStore) => Promise<void>) {
    using folder = temporaryFolder()
    const open = prepare(folder.path)
    const store = open()
    await store.create(family)
    await run(store, () => {
      store.close()
      return open()
    })
  }

  test('return their grant for the current token, once', () =>
    inStore(async (store) => {
      const rotated = await store.rotate(rotation)
      expect(rotated).toMatchObject({
        outcome: 'rotated',
        family: { subject: 'u1', kind: 'user', permissions: family.permissions },
      })
      expect(await store.rotate({ ...rotation, presentedHash: 'second' })).toMatchObject({
        outcome: 'rotated',
      })
    }))

  test('are revoked by an old token, and then reject the new one', () =>
    inStore(async (store) => {
      await store.rotate(rotation)
      expect(await store.isRevoked('f')).toBe(false)
      expect(await store.rotate(rotation)).toEqual({ outcome: 'reused' })
      expect(await store.isRevoked('f')).toBe(true)
      expect(await store.rotate({ ...rotation, presentedHash: 'second' })).toEqual({
        outcome: 'reused',
      })
    }))

  test('accept one of many concurrent rotations', () =>
    inStore(async (store) => {
      const outcomes = await Promise.all(
        Array.from({ length: 20 }, async () => (await store.rotate(rotation)).outcome),
      )
      expect(outcomes.filter((outcome) => outcome === 'rotated')).toHaveLength(1)
      expect(await store.isRevoked('f')).toBe(true)
    }))

  test('reject another client, which cannot revoke them either', () =>
    inStore(async (store) => {
      expect(await store.rotate({ ...rotation, clientId: 'thief' })).toEqual({ outcome: 'unknown' })
      expect(await store.rotate({ ...rotation, clientId: 'shop' })).toMatchObject({
        outcome: 'rotated',
      })
    }))

  test('survive a restart, revoked or not', () =>
    inStore(async (store, reopen) => {
      await store.create({ ...family, id: 'g' })
      await store.revoke('g', nowMs + 3_600_000)
      const reopened = reopen()
      expect(await reopened.rotate(rotation)).toMatchObject({ outcome: 'rotated' })
      expect(await reopened.isRevoked('g')).toBe(true)
      reopened.close()
    }))

  test('are unknown if they were never created', () =>
    inStore(async (store) => {
      expect(await store.rotate({ ...rotation, id: 'other' })).toEqual({ outcome: 'unknown' })
      expect(await store.isRevoked('other')).toBe(false)
      expect(await store.clientOf('other')).toBeUndefined()
    }))

  test('name their client and their generation', () =>
    inStore(async (store) => {
      expect(await store.clientOf('f')).toBe('shop')
      expect(await store.rotate(rotation)).toMatchObject({ family: { generation: 'generation' } })
    }))

  test('keep a revocation of a session that has no family', () =>
    inStore(async (store, reopen) => {
      await store.revoke('token', nowMs + 3_600_000)
      expect(await store.isRevoked('token')).toBe(true)
      expect(await store.rotate({ ...rotation, id: 'token' })).toEqual({ outcome: 'unknown' })
      const reopened = reopen()
      expect(await reopened.isRevoked('token')).toBe(true)
      reopened.close()
    }))
})

describe('refresh families in SQLite', () => {
  test('expire, and are then purged', async () => {
    using folder = temporaryFolder()
    const store = createSqliteRefreshStore({ folder: folder.path })
    await store.create(family)
    const late = family.expiresAtMs
    expect(await store.rotate({ ...rotation, nowMs: late })).toEqual({ outcome: 'unknown' })
    await store.purge(late)
    expect(await store.rotate(rotation)).toEqual({ outcome: 'unknown' })
    store.close()
  })

  test('stay revoked after they expired, until their access tokens have', async () => {
    using folder = temporaryFolder()
    const store = createSqliteRefreshStore({ folder: folder.path, familiesMax: 1 })
    await store.create(family)
    await store.rotate(rotation)
    expect(await store.rotate(rotation)).toEqual({ outcome: 'reused' })
    // Both delete the family: its expiry, and another one in a full store.
    await store.purge(family.endsAtMs)
    await store.create({ ...family, id: 'g', expiresAtMs: nowMs + 80_000 })
    expect(await store.isRevoked('f')).toBe(true)
    await store.purge(rotation.accessUntilMs)
    expect(await store.isRevoked('f')).toBe(false)
    store.close()
  })

  test('end at their absolute end, however often they are rotated', async () => {
    using folder = temporaryFolder()
    const store = createSqliteRefreshStore({ folder: folder.path })
    await store.create(family)
    await store.rotate({ ...rotation, expiresAtMs: nowMs + 120_000 })
    const late = { ...rotation, presentedHash: 'second', nowMs: family.endsAtMs }
    expect(await store.rotate(late)).toEqual({ outcome: 'unknown' })
    store.close()
  })

  test('of a version without generations are dropped', async () => {
    using folder = temporaryFolder()
    const old = new Database(join(folder.path, 'refresh.sqlite'), { create: true })
    old.run(`CREATE TABLE families (id TEXT PRIMARY KEY, token_hash TEXT NOT NULL,
      client_id TEXT NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL, permissions TEXT NOT NULL,
      expires_at INTEGER NOT NULL, revoked INTEGER NOT NULL DEFAULT 0) STRICT, WITHOUT ROWID`)
    old.run(`INSERT INTO families VALUES ('f', 'first', 'shop', 'user', 'u1', '[]', ?, 0)`, [
      family.expiresAtMs,
    ])
    old.close()
    const store = createSqliteRefreshStore({ folder: folder.path })
    expect(await store.rotate(rotation)).toEqual({ outcome: 'unknown' })
    await store.create(family)
    store.close()
    const reopened = createSqliteRefreshStore({ folder: folder.path })
    expect(await reopened.rotate(rotation)).toMatchObject({ outcome: 'rotated' })
    reopened.close()
  })

  test('delete the first to expire when the store is full', async () => {
    using folder = temporaryFolder()
    const store = createSqliteRefreshStore({ folder: folder.path, familiesMax: 3 })
    for (let i = 0; i < 5; i += 1)
      await store.create({ ...family, id: `f${i}`, expiresAtMs: nowMs + 1000 * (i + 1) })
    const known = await Promise.all(
      [0, 1, 2, 3, 4].map((i) => store.rotate({ ...rotation, id: `f${i}` })),
    )
    expect(known.map(({ outcome }) => outcome === 'rotated')).toEqual([
      false,
      false,
      true,
      true,
      true,
    ])
    store.close()
  })
})

describe('refresh families in Redis', () => {
  test('expire in Redis', async () => {
    const store = redisStore('expiry')
    await store.create(family)
    const leftMs = await connection.pttl('expiry:refresh:f')
    expect(leftMs).toBeGreaterThan(0)
    expect(leftMs).toBeLessThanOrEqual(60_000)
  })

  test('end at their absolute end, however often they are rotated', async () => {
    const store = redisStore('end')
    await store.create(family)
    await store.rotate({ ...rotation, expiresAtMs: nowMs + 120_000 })
    expect(await connection.pttl('end:refresh:f')).toBeLessThanOrEqual(90_000)
  })

  test('stay revoked as long as their access tokens last', async () => {
    const store = redisStore('kept')
    await store.create(family)
    await store.rotate(rotation)
    await store.rotate(rotation)
    expect(await connection.pttl('kept:refresh:f')).toBeGreaterThan(3_000_000)
    await store.create({ ...family, id: 'g', expiresAtMs: nowMs + 7_200_000 })
    await store.revoke('g', nowMs + 3_600_000)
    expect(await connection.pttl('kept:refresh:g')).toBeGreaterThan(4_000_000)
  })
})
