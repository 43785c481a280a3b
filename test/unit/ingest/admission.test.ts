import { describe, expect, test } from 'bun:test'
import type { CanonicalEvent, Category } from '../../../src/core/event.ts'
import type { IngestRequest, Project, ProtocolName } from '../../../src/core/protocol.ts'
import { createAdmission } from '../../../src/ingest/admission.ts'
import { createOverflow } from '../../../src/ingest/limits/overflow.ts'
import { createQuotas } from '../../../src/ingest/limits/quotas.ts'
import { createLimiter, type Limiter } from '../../../src/ingest/limits/rate-limiter.ts'
import { createTestClock } from './support.ts'
import { toEvent } from './test-pipeline.ts'

const day = (max: number) => ({ max, period: 'day' as const })
const toProject = (id: string, changes: Partial<Project> = {}): Project => {
  return { id, origins: undefined, rate: undefined, quotas: {}, ...changes }
}
const plain = toProject('plain')
const rated = toProject('rated', { rate: { perSecond: 1, burst: 3 } })
const limited = toProject('limited', { quotas: { events: day(2), recordings: day(1) } })
const telemetryOnly = toProject('app', { quotas: { events: day(1) } })
const projects = [plain, rated, limited, telemetryOnly]

function createTestAdmission(changes: { requests?: Limiter } = {}) {
  const { now } = createTestClock()
  const charges: string[] = []
  const store = {
    everyMs: 60_000,
    isShared: false,
    add: async (asked: readonly { key: string; count: number }[]) => asked.map(() => 0),
  }
  const quotas = createQuotas({ store, now })
  const admission = createAdmission({
    requests: createLimiter({ perSecond: 1, burst: 2, now }),
    telemetry: createLimiter({ perSecond: 1, burst: 1, now }),
    quotas: {
      left: quotas.left.bind(quotas),
      charge(project, category, count) {
        charges.push(`${project.id} ${category} ${count}`)
        quotas.charge(project, category, count)
      },
    },
    overflow: createOverflow({ perSecond: 1, burst: 2 }),
    projectById: (id) => projects.find((project) => project.id === id)!,
    ...changes,
  })
  return { admission, charges }
}

const request = (clientIp = '203.0.113.7') => ({ clientIp }) as IngestRequest

describe('rates', () => {
  /** How many of five requests are allowed. */
  function allowedOf(contract: ProtocolName, project: Project): number {
    const { admission } = createTestAdmission()
    const isAllowed = () => {
      try {
        expect(admission.takeRate(contract, project, request())).toBeUndefined()
        return true
      } catch (error) {
        expect(error).toMatchObject({ code: 'rate_limited', details: { retryAfterSeconds: 1 } })
        return false
      }
    }
    return Array.from({ length: 5 }, isAllowed).filter(Boolean).length
  }

  test.each<[ProtocolName, 'plain' | 'rated', number]>([
    ['capture', 'plain', 2],
    ['capture', 'rated', 3],
    ['link', 'plain', 5],
    ['link', 'rated', 3],
    ['report', 'plain', 5],
    ['report', 'rated', 3],
    ['telemetry', 'plain', 1],
    ['telemetry', 'rated', 1],
  ])('of %s for a project that is %s allow %i of 5 requests', (contract, name, expected) => {
    expect(allowedOf(contract, name === 'rated' ? rated : plain)).toBe(expected)
  })

  test('of telemetry count by client address', () => {
    const { admission } = createTestAdmission()
    admission.takeRate('telemetry', plain, request('203.0.113.1'))
    expect(() => admission.takeRate('telemetry', plain, request('203.0.113.1'))).toThrow()
    expect(() => admission.takeRate('telemetry', plain, request('203.0.113.2'))).not.toThrow()
  })

  test('of capture count by project', () => {
    const { admission } = createTestAdmission()
    const other = toProject('other')
    for (let count = 0; count < 2; count += 1) admission.takeRate('capture', plain, request())
    expect(() => admission.takeRate('capture', plain, request())).toThrow('too many requests')
    expect(() => admission.takeRate('capture', other, request())).not.toThrow()
  })

  test.each([
    ['resolve', { allowed: true, retryAfterSeconds: 0 }],
    ['reject', { allowed: false, retryAfterSeconds: 7 }],
  ])('that are shared by nodes %s', async (outcome, decision) => {
    const { admission } = createTestAdmission({ requests: { take: async () => decision } })
    const taken = Promise.resolve(admission.takeRate('capture', plain, request()))
    if (outcome === 'resolve') expect(await taken).toBeUndefined()
    else {
      const details = { retryAfterSeconds: 7 }
      await expect(taken).rejects.toMatchObject({ code: 'rate_limited', details })
    }
  })
})

function eventOf(project: string, name: string, category: Category = 'events'): CanonicalEvent {
  const event = toEvent(name) as Extract<CanonicalEvent, { kind: 'event' }>
  return { ...event, category, row: { ...event.row, project } }
}

const linkOf = (project_id: string) =>
  ({
    kind: 'link',
    category: 'events',
    key: 'k',
    route: 'main',
    row: { project_id },
  }) as CanonicalEvent

describe('quotas', () => {
  test('do not copy or await anything for events without a quota', () => {
    const { admission } = createTestAdmission()
    const events = [eventOf('plain', 'a'), eventOf('limited', 'b', 'exceptions')]
    const decision = admission.underQuota(events)
    expect(decision).toEqual({ kept: events, limited: [] })
    expect((decision as { kept: unknown }).kept).toBe(events)
  })

  test('keep the first events of each project and category, in the order of the request', async () => {
    const { admission } = createTestAdmission()
    const events = [
      eventOf('limited', 'a'),
      eventOf('plain', 'b'),
      eventOf('limited', 'c', 'recordings'),
      eventOf('limited', 'd'),
      eventOf('app', 'e'),
      eventOf('limited', 'f'),
      eventOf('limited', 'g', 'exceptions'),
      eventOf('app', 'h'),
    ]
    const { kept, limited: categories } = await admission.underQuota(events)
    const names = kept.map((event) => (event.kind === 'event' ? event.row.event : ''))
    expect(names).toEqual(['a', 'b', 'c', 'd', 'e', 'g'])
    expect(categories).toEqual(['events'])
  })

  test('name each category that is limited once', async () => {
    const { admission } = createTestAdmission()
    const recordings = ['a', 'b', 'c'].map((name) => eventOf('limited', name, 'recordings'))
    const events = ['d', 'e', 'f', 'g'].map((name) => eventOf('limited', name))
    const { kept, limited: categories } = await admission.underQuota([...recordings, ...events])
    expect(kept).toHaveLength(3)
    expect(categories).toEqual(['recordings', 'events'])
  })

  test('find the project of a link event by its project id', async () => {
    const { admission } = createTestAdmission()
    const { kept } = await admission.underQuota([linkOf('app'), linkOf('app'), linkOf('plain')])
    expect(kept).toHaveLength(2)
  })

  test('are used up by committed events only', async () => {
    const { admission, charges } = createTestAdmission()
    const events = ['a', 'b', 'c'].map((name) => eventOf('limited', name))
    expect((await admission.underQuota(events)).kept).toHaveLength(2)
    expect((await admission.underQuota(events)).kept).toHaveLength(2)
    expect(charges).toEqual([])
    admission.charge([eventOf('limited', 'a'), eventOf('plain', 'b')])
    expect(charges).toEqual(['limited events 1'])
    expect((await admission.underQuota(events)).kept).toHaveLength(1)
  })
})

describe('overflow', () => {
  test('diverts events of the main route above the rate of their key', () => {
    const { admission } = createTestAdmission()
    const events = ['a', 'b', 'c', 'd'].map((name) => eventOf('plain', name))
    expect(admission.divert(events, 1e12)).toBe(2)
    expect(events.map(({ route }) => route)).toEqual(['main', 'main', 'overflow', 'overflow'])
  })

  test.each<[string, Partial<CanonicalEvent>]>([
    ['migrated events', { route: 'historical' }],
    ['recordings', { kind: 'recording' }],
    ['link events', { kind: 'link' }],
  ])('never diverts or counts %s', (_, changes) => {
    const { admission } = createTestAdmission()
    const others = ['a', 'b', 'c'].map(
      (name) => ({ ...eventOf('plain', name), ...changes }) as CanonicalEvent,
    )
    expect(admission.divert(others, 1e12)).toBe(0)
    expect(others.some(({ route }) => route === 'overflow')).toBe(false)
    expect(admission.divert([eventOf('plain', 'd'), eventOf('plain', 'e')], 1e12)).toBe(0)
  })
})
