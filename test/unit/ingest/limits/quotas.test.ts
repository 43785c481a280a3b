import { expect, test } from 'bun:test'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hourMs } from '../../../../src/core/clock.ts'
import { silentLog } from '../../../../src/core/log.ts'
import type { Project, Quota } from '../../../../src/core/protocol.ts'
import { createQuotaFile } from '../../../../src/ingest/limits/quota-stores.ts'
import { createQuotas, type QuotaStore } from '../../../../src/ingest/limits/quotas.ts'
import { temporaryFolder } from '../../../support/folder.ts'
import { until } from '../../../support/until.ts'
import { createTestClock } from '../support.ts'

const startMs = Date.parse('2026-01-31T22:30:00Z')

function toProject(quotas: Project['quotas'], id = 'shop'): Project {
  return { id, origins: undefined, rate: undefined, quotas }
}

const shop = toProject({ events: { max: 10, period: 'day' } })

function createMemoryStore(totals = new Map<string, number>(), isShared = false) {
  const store: QuotaStore = {
    everyMs: 1,
    isShared,
    async add(charges) {
      return charges.map(({ key, count }) => {
        totals.set(key, (totals.get(key) ?? 0) + count)
        return totals.get(key)
      })
    },
  }
  return { store, totals }
}

test('a project has left what it was not charged', async () => {
  const clock = createTestClock(startMs)
  const quotas = createQuotas({ store: createMemoryStore().store, now: clock.now })
  expect(await quotas.left(shop, 'events')).toBe(10)
  quotas.charge(shop, 'events', 7)
  expect(quotas.left(shop, 'events')).toBe(3)
  quotas.charge(shop, 'events', 7)
  expect(quotas.left(shop, 'events')).toBe(0)
  await quotas.close()
})

test('a category or project without a quota is neither limited nor counted', async () => {
  const { store, totals } = createMemoryStore()
  const quotas = createQuotas({ store, now: createTestClock().now })
  quotas.charge(shop, 'recordings', 5)
  quotas.charge(toProject({}, 'free'), 'events', 5)
  expect(quotas.left(shop, 'recordings')).toBe(Number.POSITIVE_INFINITY)
  await quotas.close()
  expect(totals.size).toBe(0)
})

test.each([
  ['day', '2026-01-31T23:59:59.999Z', '2026-02-01T00:00:00Z'],
  ['month', '2026-01-31T23:59:59.999Z', '2026-02-01T00:00:00Z'],
  ['month', '2026-12-31T23:59:59.999Z', '2027-01-01T00:00:00Z'],
] as const)('a %s ends after %s, in UTC', async (period, last, next) => {
  const clock = createTestClock(Date.parse(last) - hourMs)
  const project = toProject({ events: { max: 10, period } })
  const quotas = createQuotas({ store: createMemoryStore().store, now: clock.now })
  quotas.charge(project, 'events', 4)
  clock.nowMs = Date.parse(last)
  expect(await quotas.left(project, 'events')).toBe(6)
  clock.nowMs = Date.parse(next)
  expect(await quotas.left(project, 'events')).toBe(10)
  await quotas.close()
})

test('applies a changed quota to the charges so far', async () => {
  const quotas = createQuotas({ store: createMemoryStore().store, now: createTestClock().now })
  quotas.charge(shop, 'events', 4)
  const raised: Quota = { max: 100, period: 'day' }
  expect(await quotas.left(toProject({ events: raised }), 'events')).toBe(96)
  await quotas.close()
})

test('a node sees the charges of other nodes', async () => {
  const { store } = createMemoryStore(new Map(), true)
  const one = createQuotas({ store, now: Date.now })
  const other = createQuotas({ store, now: Date.now })
  expect(await other.left(shop, 'events')).toBe(10)
  one.charge(shop, 'events', 6)
  await until(async () => (await other.left(shop, 'events')) === 4)
  await Promise.all([one.close(), other.close()])
})

test('without the store a node counts alone, and stores its charges later', async () => {
  const { store, totals } = createMemoryStore()
  let isAway = true
  const flaky: QuotaStore = {
    ...store,
    add: async (charges) => (isAway ? charges.map(() => undefined) : store.add(charges)),
  }
  const quotas = createQuotas({ store: flaky, now: createTestClock(startMs).now })
  quotas.charge(shop, 'events', 3)
  expect(await quotas.left(shop, 'events')).toBe(7)
  isAway = false
  await until(() => totals.get('events:shop:2026-01-31') === 3)
  expect(quotas.left(shop, 'events')).toBe(7)
  await quotas.close()
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
  first.charge(shop, 'events', 6)
  await first.close()
  const second = start()
  expect(await second.left(shop, 'events')).toBe(4)
  clock.nowMs += 2 * hourMs
  second.charge(shop, 'events', 1)
  await second.close()
  expect(await start().left(shop, 'events')).toBe(9)
  const saved = JSON.parse(readFileSync(join(folder.path, 'quotas.json'), 'utf8'))
  expect(Object.keys(saved)).toEqual(['events:shop:2026-02-01'])
  expect(readdirSync(folder.path)).toEqual(['quotas.json'])
})

test('saves charges after an interval', async () => {
  using folder = temporaryFolder()
  const path = join(folder.path, 'quotas.json')
  const store = createQuotaFile({ path, now: Date.now, log: silentLog, everyMs: 1 })
  const quotas = createQuotas({ store, now: Date.now })
  quotas.charge(shop, 'events', 1)
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
