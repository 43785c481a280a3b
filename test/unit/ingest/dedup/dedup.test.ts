import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { hourMs } from '../../../../src/core/clock.ts'
import type { DedupKey } from '../../../../src/core/event.ts'
import type { Claim } from '../../../../src/ingest/dedup/claim.ts'
import { createDedup, type DedupOptions } from '../../../../src/ingest/dedup/dedup.ts'
import type { RedisDedupKeys } from '../../../../src/ingest/dedup/redis-markers.ts'
import { createDedupTable } from '../../../../src/ingest/dedup/seen-table.ts'
import { until } from '../../../support/until.ts'
import { createTestClock, toDedupKeys } from '../support.ts'

function create(options: Partial<DedupOptions> = {}) {
  const clock = createTestClock()
  const table = createDedupTable({ bytesMax: 64 * 1024, now: clock.now })
  return { clock, table, dedup: createDedup({ table, ...options }) }
}

const [a, b, c] = toDedupKeys(3) as [DedupKey, DedupKey, DedupKey]

/** A claim that must not have had to wait. */
function atOnce(claim: Claim | Promise<Claim>): Claim {
  if (claim instanceof Promise) throw new Error('the claim waits')
  return claim
}

function fresh(claim: Claim, length: number): boolean[] {
  return Array.from({ length }, (_, index) => claim.isNew(index))
}

test('an event is new once, and a duplicate for 24 hours after its commit', () => {
  const { dedup, clock } = create()
  const first = atOnce(dedup.claim([a, b]))
  expect(fresh(first, 2)).toEqual([true, true])
  first.commit()
  const second = atOnce(dedup.claim([b, c, a]))
  expect(fresh(second, 3)).toEqual([false, true, false])
  expect(second.duplicates).toBe(2)
  second.release()
  clock.nowMs += 25 * hourMs
  expect(atOnce(dedup.claim([a])).isNew(0)).toBe(true)
})

test('what was released is new again: a refused request is accepted when it is retried', () => {
  const { dedup } = create()
  atOnce(dedup.claim([a])).release()
  const retry = atOnce(dedup.claim([a]))
  expect(retry.isNew(0)).toBe(true)
  retry.commit()
  retry.release()
  expect(atOnce(dedup.claim([a])).isNew(0)).toBe(false)
})

test('an event without identity is always new', () => {
  const { dedup } = create()
  atOnce(dedup.claim([undefined, undefined])).commit()
  expect(fresh(atOnce(dedup.claim([undefined, undefined])), 2)).toEqual([true, true])
})

test('a copy within a request is a duplicate at once, and does not wait for its own request', () => {
  const { dedup } = create()
  expect(fresh(atOnce(dedup.claim([a, b, a])), 3)).toEqual([true, true, false])
})

test.each([
  ['a commit makes the waiting one a duplicate', 'commit', false],
  ['a release hands the event to the waiting one', 'release', true],
] as const)('%s', async (_, outcome, isNew) => {
  const { dedup } = create()
  const first = atOnce(dedup.claim([a]))
  const second = dedup.claim([a, b, a])
  expect(second).toBeInstanceOf(Promise)
  first[outcome]()
  expect(fresh(await second, 3)).toEqual([isNew, true, false])
})

test('a released event goes to the earliest who waits, and the others wait for that one', async () => {
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

test('who waits too long is told to come back, and stands in nobody’s way', async () => {
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

test('what is replayed from the journal is a duplicate', () => {
  const { dedup } = create()
  dedup.mark([a, undefined, b, a])
  expect(fresh(atOnce(dedup.claim([a, b, c])), 3)).toEqual([false, false, true])
})

test('in whatever order requests end, none is stuck, nothing is stored twice, no duplicate is a loss', async () => {
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

test('what another node has seen is a duplicate, also for who waited for the answer', async () => {
  const seen = new Set([a])
  const { dedup } = create({ shared: createFakeShared(seen) })
  const [first, second] = [dedup.claim([a, b]), dedup.claim([a])]
  expect(fresh(await first, 2)).toEqual([false, true])
  expect((await second).isNew(0)).toBe(false)
  await (await first).commit()
  expect([...seen]).toEqual([a, b])
})

test('a released request is marked nowhere', async () => {
  const seen = new Set<DedupKey>()
  const { dedup } = create({ shared: createFakeShared(seen) })
  const claim = await dedup.claim([a])
  claim.release()
  expect(seen.size).toBe(0)
})

test('memory is reserved until none is left, or the end', async () => {
  const reserve = (slices: number) => {
    const table = createDedupTable({ bytesMax: 4096, now: createTestClock().now })
    const asked = { count: 0 }
    table.reserve = () => {
      asked.count += 1
      return asked.count < slices
    }
    return { asked, dedup: createDedup({ table }) }
  }
  const isAskedBy = (asked: { count: number }, count: number) => () => asked.count >= count
  const [short, endless] = [reserve(3), reserve(Number.POSITIVE_INFINITY)]
  await until(isAskedBy(short.asked, 3), { timeoutMs: 5000 })
  await endless.dedup.close()
  const askedUntilEnd = endless.asked.count
  const later = reserve(10)
  await until(isAskedBy(later.asked, 10), { timeoutMs: 5000 })
  expect([short.asked.count, endless.asked.count]).toEqual([3, askedUntilEnd])
})
