import { expect, test } from 'bun:test'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hourMs } from '../../../../src/core/clock.ts'
import type { QuotaName } from '../../../../src/core/event.ts'
import { silentLog } from '../../../../src/core/log.ts'
import type { Project, Quota } from '../../../../src/core/protocol.ts'
import { createQuotaFile } from '../../../../src/ingest/limits/quota-stores.ts'
import { createQuotas, type QuotaStore, type Quotas } from '../../../../src/ingest/limits/quotas.ts'
import { temporaryFolder } from '../../../support/folder.ts'
import { until } from '../../../support/until.ts'
import { createTestClock } from '../support.ts'

const startMs = Date.parse('2026-01-31T22:30:00Z')

function toProject(quotas: Project['quotas'], id = 'shop'): Project {
  return { id, origins: undefined, rate: undefined, quotas }
}

const day = (max: number): Quota => ({ max, period: 'day' })
const shop = toProject({ events: day(10) })

function createMemoryStore(totals = new Map<string, number>()): {
  store: QuotaStore
  totals: Map<string, number>
} {
  const add = (key: string, count: number) => {
    totals.set(key, (totals.get(key) ?? 0) + count)
    return totals.get(key)!
  }
  const store: QuotaStore = {
    everyMs: 1,
    add: async (charges) => charges.map(({ key, count }) => add(key, count)),
  }
  return { store, totals }
}

/** A store that several nodes share. */
function createSharedStore() {
  const { store, totals } = createMemoryStore()
  const shared: QuotaStore = {
    ...store,
    async take({ key, count }, max) {
      const total = totals.get(key) ?? 0
      const granted = Math.max(0, Math.min(count, max - total))
      totals.set(key, total + granted)
      return { granted, total: total + granted }
    },
  }
  return { store: shared, totals }
}

/** What is left: reserves everything and gives it back. */
async function leftOf(quotas: Quotas, project: Project, name: QuotaName = 'events') {
  const { count, settle } = await quotas.reserve(project, name, 1_000_000)
  settle(0)
  return count
}

async function charge(quotas: Quotas, project: Project, count: number) {
  const grant = await quotas.reserve(project, 'events', count)
  grant.settle(grant.count)
}

test('a project has left what it was not charged', async () => {
  const clock = createTestClock(startMs)
  const quotas = createQuotas({ store: createMemoryStore().store, now: clock.now })
  expect(await leftOf(quotas, shop)).toBe(10)
  await charge(quotas, shop, 7)
  expect(await leftOf(quotas, shop)).toBe(3)
  await charge(quotas, shop, 7)
  expect(await leftOf(quotas, shop)).toBe(0)
  await quotas.close()
})

test.each([
  ['one node', createMemoryStore],
  ['nodes that share it', createSharedStore],
])('requests in parallel cannot exceed a quota of %s together', async (_, createStore) => {
  const { store, totals } = createStore()
  const quotas = createQuotas({ store, now: Date.now })
  const asked = Array.from({ length: 40 }, () => quotas.reserve(shop, 'events', 3))
  const grants = await Promise.all(asked)
  expect(grants.reduce((sum, { count }) => sum + count, 0)).toBe(10)
  // One of the requests fails, and its events are free again.
  for (const [index, grant] of grants.entries()) grant.settle(index === 0 ? 0 : grant.count)
  await until(() => [...totals.values()][0] === 7)
  expect(await leftOf(quotas, shop)).toBe(3)
  await quotas.close()
})

test('a reservation is settled once', async () => {
  const quotas = createQuotas({ store: createMemoryStore().store, now: createTestClock().now })
  const grant = await quotas.reserve(shop, 'events', 6)
  grant.settle(4)
  grant.settle(0)
  expect(await leftOf(quotas, shop)).toBe(6)
  await quotas.close()
})

test('a category or project without a quota is neither limited nor counted', async () => {
  const { store, totals } = createMemoryStore()
  const quotas = createQuotas({ store, now: createTestClock().now })
  await charge(quotas, toProject({}, 'free'), 5)
  expect(await leftOf(quotas, shop, 'recordings')).toBe(1_000_000)
  await quotas.close()
  expect(totals.size).toBe(0)
})

test.each<[QuotaName, Project['quotas'], number]>([
  ['telemetry', { events: day(10) }, 10],
  ['link', { events: day(10), link: day(3) }, 3],
  ['report', { report: day(4) }, 4],
  ['exceptions', { events: day(10) }, 1_000_000],
])('%s has the quota of its own of %j, or one of the size of events', async (name, own, left) => {
  const quotas = createQuotas({ store: createMemoryStore().store, now: createTestClock().now })
  const project = toProject(own)
  await charge(quotas, project, 10)
  expect(await leftOf(quotas, project, name)).toBe(left)
  await quotas.close()
})

test.each([
  ['day', '2026-01-31T23:59:59.999Z', '2026-02-01T00:00:00Z'],
  ['month', '2026-01-31T23:59:59.999Z', '2026-02-01T00:00:00Z'],
  ['month', '2026-12-31T23:59:59.999Z', '2027-01-01T00:00:00Z'],
] as const)('a %s ends after %s, in UTC', async (period, last, next) => {
  const clock = createTestClock(Date.parse(last) - hourMs)
  const project = toProject({ events: { max: 10, period } })
  const quotas = createQuotas({ store: createMemoryStore().store, now: clock.now })
  await charge(quotas, project, 4)
  clock.nowMs = Date.parse(last)
  expect(await leftOf(quotas, project)).toBe(6)
  clock.nowMs = Date.parse(next)
  expect(await leftOf(quotas, project)).toBe(10)
  await quotas.close()
})

test('applies a changed quota to the charges so far', async () => {
  const quotas = createQuotas({ store: createMemoryStore().store, now: createTestClock().now })
  await charge(quotas, shop, 4)
  const raised: Quota = { max: 100, period: 'day' }
  expect(await leftOf(quotas, toProject({ events: raised }))).toBe(96)
  await quotas.close()
})

test('a node sees at once what other nodes have reserved', async () => {
  const { store } = createSharedStore()
  const one = createQuotas({ store, now: Date.now })
  const other = createQuotas({ store, now: Date.now })
  const grant = await one.reserve(shop, 'events', 6)
  expect(await leftOf(other, shop)).toBe(4)
  grant.settle(1)
  await until(async () => (await leftOf(other, shop)) === 9)
  await Promise.all([one.close(), other.close()])
})

test.each([
  ['a store of this node', createMemoryStore],
  ['a shared store', createSharedStore],
])('without %s a node counts alone, and stores its charges later', async (_, createStore) => {
  const { store, totals } = createStore()
  let isAway = true
  const flaky: QuotaStore = {
    ...store,
    add: async (charges) => (isAway ? charges.map(() => undefined) : store.add(charges)),
    ...(store.take && {
      take: async (asked, max) => (isAway ? undefined : store.take?.(asked, max)),
    }),
  }
  const quotas = createQuotas({ store: flaky, now: createTestClock(startMs).now })
  await charge(quotas, shop, 3)
  expect((await quotas.reserve(shop, 'events', 20)).count).toBe(7)
  isAway = false
  await until(() => totals.get('events:shop:2026-01-31') === 3)
  await quotas.close()
})

test('what was taken from a shared store is not given back twice', async () => {
  const { store, totals } = createSharedStore()
  let answers = 0
  const lossy: QuotaStore = {
    ...store,
    async add(charges) {
      await store.add(charges)
      answers += 1
      return charges.map(() => undefined)
    },
  }
  const quotas = createQuotas({ store: lossy, now: createTestClock(startMs).now })
  const kept = await quotas.reserve(shop, 'events', 5)
  const failed = await quotas.reserve(shop, 'events', 3)
  failed.settle(0)
  await until(() => answers > 0)
  await quotas.close()
  expect(kept.count).toBe(5)
  expect([...totals.values()]).toEqual([5])
})

test('counts of a single node survive a restart until their period ends', async () => {
  using folder = temporaryFolder()
  const clock = createTestClock(startMs)
  const start = () => {
    const path = join(folder.path, 'quotas.json')
    const store = createQuotaFile({ path, now: clock.now, log: silentLog, everyMs: 1 })
    return createQuotas({ store, now: clock.now })
  }
  const first = start()
  await charge(first, shop, 6)
  await first.close()
  const second = start()
  expect(await leftOf(second, shop)).toBe(4)
  clock.nowMs += 2 * hourMs
  await charge(second, shop, 1)
  await second.close()
  expect(await leftOf(start(), shop)).toBe(9)
  const saved = JSON.parse(readFileSync(join(folder.path, 'quotas.json'), 'utf8'))
  expect(Object.keys(saved)).toEqual(['events:shop:2026-02-01'])
  expect(readdirSync(folder.path)).toEqual(['quotas.json'])
})

test('saves charges after an interval', async () => {
  using folder = temporaryFolder()
  const path = join(folder.path, 'quotas.json')
  const store = createQuotaFile({ path, now: Date.now, log: silentLog, everyMs: 1 })
  const quotas = createQuotas({ store, now: Date.now })
  await charge(quotas, shop, 1)
  await until(() => readdirSync(folder.path).includes('quotas.json'))
  await quotas.close()
})

test.each([
  ['garbage', (path: string) => writeFileSync(path, '{"a":')],
  ['a folder in its place', (path: string) => mkdirSync(path)],
])('logs %s instead of the file, and starts counts at zero', async (_, spoil) => {
  using folder = temporaryFolder()
  const path = join(folder.path, 'quotas.json')
  spoil(path)
  const messages: string[] = []
  const log = { ...silentLog, error: (__: object, message: string) => messages.push(message) }
  const store = createQuotaFile({ path, now: Date.now, log })
  expect(await store.add([{ key: 'k', count: 2, endMs: Date.now() + hourMs }])).toEqual([2])
  expect(messages[0]).toContain('start at zero')
})
