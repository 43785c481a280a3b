import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { hourMs } from '../../../../src/core/clock.ts'
import type { DedupKey } from '../../../../src/core/event.ts'
import type { Claim } from '../../../../src/ingest/dedup/claim.ts'
import { createDedup, type DedupOptions } from '../../../../src/ingest/dedup/dedup.ts'
import type { RedisDedupKeys } from '../../../../src/ingest/dedup/redis-markers.ts'
import { createDedupTable } from '../../../../src/ingest/dedup/seen-table.ts'
import { createTestClock, toDedupKeys } from '../support.ts'

function create(options: Partial<DedupOptions> = {}) {
  const clock = createTestClock()
  const table = createDedupTable({ bytesMax: 64 * 1024, now: clock.now })
  return { clock, table, dedup: createDedup({ table, ...options }) }
}

const [a, b, c] = toDedupKeys(3) as [DedupKey, DedupKey, DedupKey]

/** For a claim that must not wait. */
function atOnce(claim: Claim | Promise<Claim>): Claim {
  if (claim instanceof Promise) throw new Error('the claim waits')
  return claim
}

function newOf(claim: Claim, length: number): boolean[] {
  return Array.from({ length }, (_, index) => claim.isNew(index))
}

test('an event is new once, and a duplicate for 24 hours after its commit', () => {
  const { dedup, clock } = create()
  const first = atOnce(dedup.claim([a, b]))
  expect(newOf(first, 2)).toEqual([true, true])
  first.commit()
  const second = atOnce(dedup.claim([b, c, a]))
  expect(newOf(second, 3)).toEqual([false, true, false])
  expect(second.duplicates).toBe(2)
  second.release()
  clock.nowMs += 25 * hourMs
  expect(atOnce(dedup.claim([a])).isNew(0)).toBe(true)
})

test('accepts a retry after a released claim', () => {
  const { dedup } = create()
  atOnce(dedup.claim([a])).release()
  const retry = atOnce(dedup.claim([a]))
  expect(retry.isNew(0)).toBe(true)
  retry.commit()
  retry.release()
  expect(atOnce(dedup.claim([a])).isNew(0)).toBe(false)
})

test('an event without a dedup key is always new', () => {
  const { dedup } = create()
  atOnce(dedup.claim([undefined, undefined])).commit()
  expect(newOf(atOnce(dedup.claim([undefined, undefined])), 2)).toEqual([true, true])
})

test('a duplicate within a request is one at once, without waiting for its own request', () => {
  const { dedup } = create()
  expect(newOf(atOnce(dedup.claim([a, b, a])), 3)).toEqual([true, true, false])
})

test.each([
  ['a commit makes the waiting event a duplicate', 'commit', false],
  ['a release passes the event to the waiting request', 'release', true],
] as const)('%s', async (_, outcome, isNew) => {
  const { dedup } = create()
  const first = atOnce(dedup.claim([a]))
  const second = dedup.claim([a, b, a])
  expect(second).toBeInstanceOf(Promise)
  first[outcome]()
  expect(newOf(await second, 3)).toEqual([isNew, true, false])
})

test('passes a released event to the earliest waiting request, and the others wait for that', async () => {
  const { dedup } = create()
  const first = atOnce(dedup.claim([a]))
  const second = dedup.claim([a])
  const third = dedup.claim([a])
  first.release()
  const successor = await second
  expect(successor.isNew(0)).toBe(true)
  successor.commit()
  expect((await third).isNew(0)).toBe(false)
  expect(dedup.pending()).toBe(0)
})

test('refuses a request that waits too long, and releases its other events', async () => {
  const { dedup } = create({ waitMsMax: 5 })
  const first = atOnce(dedup.claim([a]))
  const second = dedup.claim([b, a])
  const refusal = { code: 'too_busy', details: { retryAfterSeconds: 1 } }
  await expect(Promise.resolve(second)).rejects.toMatchObject(refusal)
  const third = atOnce(dedup.claim([b]))
  expect(third.isNew(0)).toBe(true)
  first.release()
  expect(atOnce(dedup.claim([a])).isNew(0)).toBe(true)
})

test('an event marked from the journal is a duplicate', () => {
  const { dedup } = create()
  dedup.mark([a, undefined, b, a])
  expect(newOf(atOnce(dedup.claim([a, b, c])), 3)).toEqual([false, false, true])
})

test('in any order of ends, no request is stuck, no event is stored twice and none is lost', async () => {
  const request = fc.record({
    dedupKeys: fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 1, maxLength: 6 }),
    commits: fc.boolean(),
  })
  const property = fc.asyncProperty(
    fc.scheduler(),
    fc.array(request, { minLength: 1, maxLength: 12 }),
    async (scheduler, requests) => {
      const { dedup } = create()
      const stored = new Set<number>()
      const pool = toDedupKeys(5)
      const serve = async ({ dedupKeys, commits }: (typeof requests)[number]) => {
        await scheduler.schedule(Promise.resolve(), 'arrive')
        const claim = await dedup.claim(dedupKeys.map((at) => pool[at]))
        const isFirst = dedupKeys.map((at, index) => dedupKeys.indexOf(at) === index)
        dedupKeys.forEach((at, index) => {
          if (isFirst[index] && !claim.isNew(index)) expect(stored).toContain(at)
          if (!isFirst[index]) expect(claim.isNew(index)).toBe(false)
        })
        await scheduler.schedule(Promise.resolve(), 'journal')
        if (!commits) return claim.release()
        dedupKeys.forEach((at, index) => {
          if (!claim.isNew(index)) return
          expect(stored).not.toContain(at)
          stored.add(at)
        })
        claim.commit()
      }
      const served = Promise.all(requests.map(serve))
      await scheduler.waitFor(served)
      expect(dedup.pending()).toBe(0)
      await dedup.close()
    },
  )
  await fc.assert(property, { numRuns: 500 })
})

function createFakeShared(seen: Set<DedupKey>): RedisDedupKeys {
  return {
    isAvailable: () => true,
    find: async (dedupKeys) => dedupKeys.map((dedupKey) => seen.has(dedupKey)),
    async mark(dedupKeys) {
      for (const dedupKey of dedupKeys) seen.add(dedupKey)
    },
  }
}

test('an event that another node has seen is a duplicate, also for a request that waited', async () => {
  const seen = new Set([a])
  const { dedup } = create({ shared: createFakeShared(seen) })
  const [first, second] = [dedup.claim([a, b]), dedup.claim([a])]
  expect(newOf(await first, 2)).toEqual([false, true])
  expect((await second).isNew(0)).toBe(false)
  await (await first).commit()
  expect([...seen]).toEqual([a, b])
})

test('a released claim is not marked in Redis', async () => {
  const seen = new Set<DedupKey>()
  const { dedup } = create({ shared: createFakeShared(seen) })
  const claim = await dedup.claim([a])
  claim.release()
  expect(seen.size).toBe(0)
})

test('refuses events that were seen under another payload key, and takes a retry for one', async () => {
  const { dedup } = create()
  const [payload, other] = toDedupKeys(2, 10) as [DedupKey, DedupKey]
  atOnce(dedup.claim([a, b], payload)).commit()
  const retry = atOnce(dedup.claim([a, b], payload))
  expect(newOf(retry, 2)).toEqual([false, false])
  retry.release()
  const reused = expect.objectContaining({ code: 'idempotency_key_reused' })
  expect(() => dedup.claim([a, b, c], other)).toThrow(reused)
  expect(() => dedup.claim([a], other)).toThrow(reused)
  // The refused request holds nothing.
  expect(dedup.pending()).toBe(0)
  expect(atOnce(dedup.claim([c], other)).isNew(0)).toBe(true)
})

test('with two payloads at once, refuses the second after the commit of the first', async () => {
  const { dedup } = create()
  const [payload, other] = toDedupKeys(2, 10) as [DedupKey, DedupKey]
  const first = atOnce(dedup.claim([a], payload))
  const second = dedup.claim([a, b], other)
  const third = dedup.claim([a], payload)
  first.commit()
  await expect(Promise.resolve(second)).rejects.toMatchObject({ code: 'idempotency_key_reused' })
  expect((await third).isNew(0)).toBe(false)
})

test('with two payloads at once, accepts the second if the first is not stored', async () => {
  const { dedup } = create()
  const [payload, other] = toDedupKeys(2, 10) as [DedupKey, DedupKey]
  const first = atOnce(dedup.claim([a], payload))
  const second = dedup.claim([a, b], other)
  first.release()
  expect(newOf(await second, 2)).toEqual([true, true])
})

test('recognises a payload key that was marked after a restart', () => {
  const { dedup } = create()
  const [payload, other] = toDedupKeys(2, 10) as [DedupKey, DedupKey]
  dedup.mark([a, payload])
  expect(atOnce(dedup.claim([a], payload)).isNew(0)).toBe(false)
  expect(() => dedup.claim([a], other)).toThrow('used with another payload')
})
