import { describe, expect, test } from 'bun:test'
import { dayMs, hourMs } from '../../../src/core/clock.ts'
import type { DedupKey } from '../../../src/core/event.ts'
import { redisCli } from '../../support/redis-cluster.ts'
import { toDedupKeys } from '../../unit/ingest/support.ts'
import { startNode, useRedis } from './support.ts'

const services = useRedis()

describe.each([
  ['one Redis', () => services.server.url],
  ['a Redis Cluster', () => services.cluster.url],
])('on %s', (_, url) => {
  test('two nodes drop each other’s duplicates', async () => {
    const one = await startNode(url(), 'pair')
    const other = await startNode(url(), 'pair')
    const dedupKeys = toDedupKeys(500)
    expect(await one.send(dedupKeys)).toBe(500)
    expect(await other.send(toDedupKeys(600))).toBe(100)
    expect(await one.send(toDedupKeys(600))).toBe(0)
    await Promise.all([one.close(), other.close()])
  })

  test('another node refuses another payload under a used key, and takes a retry for one', async () => {
    const one = await startNode(url(), 'payload')
    const other = await startNode(url(), 'payload')
    const [event, payload, another] = toDedupKeys(3) as [DedupKey, DedupKey, DedupKey]
    await (await one.dedup.claim([event], payload)).commit()
    expect((await other.dedup.claim([event], payload)).isNew(0)).toBe(false)
    const third = await startNode(url(), 'payload')
    await expect(Promise.resolve(third.dedup.claim([event], another))).rejects.toMatchObject({
      code: 'idempotency_key_reused',
    })
    await Promise.all([one.close(), other.close(), third.close()])
  })

  test('a released event is new on the other node', async () => {
    const one = await startNode(url(), 'released')
    const other = await startNode(url(), 'released')
    const claim = await one.dedup.claim(toDedupKeys(3))
    claim.release()
    expect(await other.send(toDedupKeys(3))).toBe(3)
    await Promise.all([one.close(), other.close()])
  })

  test('keys replayed from the journal after a restart are known to other nodes', async () => {
    const one = await startNode(url(), 'replay')
    const other = await startNode(url(), 'replay')
    await one.dedup.mark([...toDedupKeys(1500), undefined])
    expect(await other.send(toDedupKeys(1501))).toBe(1)
    await Promise.all([one.close(), other.close()])
  })
})

test('remembers a key for 24 hours from any time of day, with clocks that differ', async () => {
  // The start of a window, so that some of the clocks below are still in the previous one.
  const startMs = Date.now() - (Date.now() % (12 * hourMs))
  const clock = { nowMs: startMs, now: () => clock.nowMs }
  const node = await startNode(services.server.url, 'day', { now: clock.now })
  const isKnown = async (at: number) => (await node.shared.find(toDedupKeys(1, at)))[0]
  for (let quarter = 0; quarter < 48; quarter += 1) {
    const seenMs = clock.nowMs
    await node.shared.mark(toDedupKeys(1, quarter))
    clock.nowMs = seenMs - 30_000
    expect(await isKnown(quarter)).toBe(true)
    clock.nowMs = seenMs + dayMs
    expect(await isKnown(quarter)).toBe(true)
    clock.nowMs = seenMs + dayMs + 12 * hourMs + 60_000
    expect(await isKnown(quarter)).toBe(false)
    clock.nowMs = seenMs + hourMs / 4
  }
  await node.close()
})

test('Redis expires keys, and not before 24 hours', async () => {
  const node = await startNode(services.server.url, 'expiry')
  await node.shared.mark(toDedupKeys(50))
  const keys = (await redisCli(services.server.url, 'keys', 'expiry:*')).split('\n')
  expect(keys.length).toBeGreaterThan(40)
  for (const key of keys) {
    const seconds = Number(await redisCli(services.server.url, 'ttl', key))
    expect(seconds).toBeGreaterThanOrEqual(24 * 3600)
    expect(seconds).toBeLessThanOrEqual(36 * 3600 + 120)
  }
  await node.close()
})

test('full sets pass keys on to children, so that Redis keeps the compact encoding', async () => {
  const node = await startNode(services.server.url, 'full')
  const inOneRoot = (from: number) =>
    toDedupKeys(10_000, from).map((dedupKey) => `${dedupKey.slice(0, 24)}abc${dedupKey.slice(27)}`)
  const dedupKeys = inOneRoot(0)
  await node.shared.mark(dedupKeys)
  const found = await node.shared.find([...dedupKeys, ...inOneRoot(10_000)])
  expect(found.indexOf(false)).toBe(10_000)
  expect(found.lastIndexOf(true)).toBe(9_999)
  const keys = (await redisCli(services.server.url, 'keys', 'full:seen:*:*')).split('\n')
  expect(keys.length).toBeGreaterThan(1 + 16 + 100)
  for (const key of keys.slice(0, 50))
    expect(await redisCli(services.server.url, 'object', 'encoding', key)).toBe('intset')
  await node.close()
})
