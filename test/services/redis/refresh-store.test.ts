import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
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
  permissions: ['public:*', 'private:orders'],
  expiresAtMs: nowMs + 60_000,
}
const rotation: Rotation = {
  id: 'f',
  presentedHash: 'first',
  nextHash: 'second',
  expiresAtMs: nowMs + 120_000,
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
      await store.revoke('g')
      const reopened = reopen()
      expect(await reopened.rotate(rotation)).toMatchObject({ outcome: 'rotated' })
      expect(await reopened.isRevoked('g')).toBe(true)
      reopened.close()
    }))

  test('are unknown if they were never created', () =>
    inStore(async (store) => {
      expect(await store.rotate({ ...rotation, id: 'other' })).toEqual({ outcome: 'unknown' })
      await store.revoke('other')
      expect(await store.isRevoked('other')).toBe(false)
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
})
