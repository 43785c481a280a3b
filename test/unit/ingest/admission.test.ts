import { describe, expect, test } from 'bun:test'
import { type Fault, IngestError } from '../../../src/core/errors.ts'
import type { CanonicalEvent, Category, EventRow, Rejection } from '../../../src/core/event.ts'
import type {
  IngestRequest,
  Normalised,
  Project,
  ProtocolName,
  Senders,
} from '../../../src/core/protocol.ts'
import { type AdmissionOptions, createAdmission } from '../../../src/ingest/admission.ts'
import { createQuotas } from '../../../src/ingest/limits/quotas.ts'
import { createLimiter, createOverflow } from '../../../src/ingest/limits/rate-limiter.ts'
import { createTestClock } from './support.ts'
import { toEvent } from './test-pipeline.ts'

const day = (max: number) => ({ max, period: 'day' as const })
const toProject = (id: string, changes: Partial<Project> = {}): Project => {
  return { id, origins: undefined, rate: undefined, quotas: {}, ...changes }
}
const plain = toProject('plain')
const rated = toProject('rated', { rate: { perSecond: 1, burst: 3 } })
const limited = toProject('limited', { quotas: { events: day(2), recordings: day(1) } })
const own = toProject('own', { quotas: { events: day(5), telemetry: day(1) } })
const local = toProject('local', { origins: ['https://shop.example'] })
const projects = [plain, rated, limited, own, local]

function createTestAdmission(changes: Partial<AdmissionOptions> = {}) {
  const { now } = createTestClock()
  const byId = (id: string) => projects.find((project) => project.id === id) ?? toProject(id)
  const unknown: Fault = { code: 'unknown_app', message: 'no such app' }
  const store = {
    everyMs: 60_000,
    add: async (asked: readonly { key: string; count: number }[]) => asked.map(() => 0),
  }
  return createAdmission({
    projects: {
      find: (_, credential) => byId(credential),
      findByApp: (app) => projects.find(({ id }) => id === app) ?? unknown,
      byId,
    },
    requests: createLimiter({ perSecond: 1, burst: 2, now }),
    byAddress: { telemetry: createLimiter({ perSecond: 1, burst: 1, now }) },
    quotas: createQuotas({ store, now }),
    overflow: createOverflow({ perSecond: 1, burst: 2 }),
    ...changes,
  })
}

const request = (headers: Record<string, string> = {}, clientIp = '203.0.113.7') =>
  ({ clientIp, headers: new Headers(headers) }) as IngestRequest
const sent = (credential: string) => ({ credential, received: 1 })
const batch = (...apps: string[]) => ({ credential: '', received: apps.length, apps })

async function toCode(admit: () => Senders | Promise<Senders>): Promise<string> {
  try {
    await admit()
    return 'admitted'
  } catch (error) {
    return error instanceof IngestError ? error.code : String(error)
  }
}

describe('rates', () => {
  test.each<[ProtocolName, string, number]>([
    ['capture', 'plain', 2],
    ['capture', 'rated', 3],
    ['link', 'plain', 5],
    ['link', 'rated', 3],
    ['report', 'plain', 5],
    ['report', 'rated', 3],
  ])('of %s for a project that is %s allow %i of 5 requests', async (contract, id, expected) => {
    const admission = createTestAdmission()
    const codes: string[] = []
    for (let count = 0; count < 5; count += 1) {
      codes.push(await toCode(() => admission.admit(contract, sent(id), request())))
    }
    expect(codes.filter((code) => code === 'admitted')).toHaveLength(expected)
    expect(codes.filter((code) => code === 'rate_limited')).toHaveLength(5 - expected)
  })

  test('count by client address for contracts without a credential', async () => {
    const admission = createTestAdmission()
    const send = (ip: string) =>
      toCode(() => admission.admit('telemetry', batch(), request({}, ip)))
    expect([await send('203.0.113.1'), await send('203.0.113.1')]).toEqual([
      'admitted',
      'rate_limited',
    ])
    expect(await send('203.0.113.2')).toBe('admitted')
    expect([await send('2001:db8:0:1::1'), await send('2001:db8:0:1::2')]).toEqual([
      'admitted',
      'rate_limited',
    ])
  })

  test('of a project count each contract by itself', async () => {
    const admission = createTestAdmission()
    const send = (contract: ProtocolName) =>
      toCode(() => admission.admit(contract, sent('rated'), request()))
    for (let count = 0; count < 4; count += 1) await send('link')
    expect([await send('link'), await send('capture')]).toEqual(['rate_limited', 'admitted'])
  })

  test('tell when to retry, without a promise if no node shares them', () => {
    const admission = createTestAdmission()
    const send = () => admission.admit('capture', sent('plain'), request())
    expect([send(), send()]).toEqual([{ project: plain }, { project: plain }])
    expect(send).toThrow(expect.objectContaining({ details: { retryAfterSeconds: 1 } }))
  })

  test.each([
    ['admit', { allowed: true, retryAfterSeconds: 0 }, 'admitted'],
    ['refuse', { allowed: false, retryAfterSeconds: 7 }, 'rate_limited'],
  ])('that are shared by nodes %s', async (_, decision, expected) => {
    const shared = { take: async () => decision }
    const admission = createTestAdmission({ requests: shared, byAddress: { link: shared } })
    for (const contract of ['capture', 'link'] as const) {
      expect(await toCode(() => admission.admit(contract, sent('plain'), request()))).toBe(expected)
    }
  })
})

describe('origins', () => {
  test.each([
    ['https://shop.example', 'admitted'],
    ['HTTPS://Shop.example:443/', 'admitted'],
    ['https://other.example', 'origin_not_allowed'],
    ['null', 'origin_not_allowed'],
  ])('%s of a project that allows https://shop.example: %s', async (origin, expected) => {
    const admission = createTestAdmission()
    for (const contract of ['capture', 'link', 'report'] as const) {
      const code = await toCode(() => admission.admit(contract, sent('local'), request({ origin })))
      expect(code).toBe(expected)
    }
    const code = await toCode(() =>
      admission.admit('telemetry', batch('local'), request({ origin })),
    )
    expect(code).toBe(expected)
  })

  test('are not asked of a request without one', async () => {
    const admission = createTestAdmission()
    expect(await toCode(() => admission.admit('capture', sent('local'), request()))).toBe(
      'admitted',
    )
  })
})

describe('apps of one telemetry batch', () => {
  test('are judged one by one', async () => {
    const admission = createTestAdmission()
    const origin = 'https://other.example'
    const apps = batch('plain', 'local', 'nobody', 'rated')
    const senders = await admission.admit('telemetry', apps, request({ origin }))
    const verdicts = [...(senders.apps ?? [])].map(([app, sender]) => [
      app,
      'code' in sender ? sender.code : sender.id,
    ])
    expect(verdicts).toEqual([
      ['plain', 'plain'],
      ['local', 'origin_not_allowed'],
      ['nobody', 'unknown_app'],
      ['rated', 'rated'],
    ])
  })

  test('refuse the request only if all of them are refused', async () => {
    const admission = createTestAdmission({ byAddress: {} })
    const send = (...apps: string[]) =>
      toCode(() => admission.admit('telemetry', batch(...apps), request()))
    expect(await send('nobody', 'no one')).toBe('unknown_app')
    for (let count = 0; count < 3; count += 1) expect(await send('rated')).toBe('admitted')
    expect(await send('rated')).toBe('rate_limited')
    expect(await send('rated', 'plain')).toBe('admitted')
  })

  test('are projects of their own without a projects file', async () => {
    const find = () => plain
    const without = { find, findByApp: () => undefined, byId: () => plain }
    const admission = createTestAdmission({ projects: without })
    expect(await admission.admit('telemetry', batch('a', 'b'), request())).toEqual({
      project: plain,
    })
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

const rejectionOf = (index: number, project?: string): Rejection => ({
  ...{ index, code: 'invalid_event', message: 'bad', raw: 'bad' },
  ...(project === undefined ? {} : { project }),
})

function normalised(events: CanonicalEvent[], changes: Partial<Normalised> = {}): Normalised {
  return { events, rejections: [], dropped: 0, ...changes }
}

const senders = (project = limited): Senders => ({ project })

describe('quotas', () => {
  test('do not copy or await anything for events without a quota', () => {
    const events = [eventOf('plain', 'a'), eventOf('limited', 'b', 'exceptions')]
    const verdict = createTestAdmission().reserve('capture', senders(), normalised(events))
    expect(verdict).toMatchObject({ limited: [], deadLetters: [] })
    expect((verdict as { kept: unknown }).kept).toBe(events)
  })

  test('keep the first events of each project and category, in the order of the request', async () => {
    const events = [
      eventOf('limited', 'a'),
      eventOf('plain', 'b'),
      eventOf('limited', 'c', 'recordings'),
      eventOf('limited', 'd'),
      eventOf('limited', 'f'),
      eventOf('limited', 'g', 'exceptions'),
    ]
    const verdict = await createTestAdmission().reserve('capture', senders(), normalised(events))
    const names = verdict.kept.map((event) => (event.kind === 'event' ? event.row.event : ''))
    expect(names).toEqual(['a', 'b', 'c', 'd', 'g'])
    expect(verdict.limited).toEqual(['events'])
  })

  test('are judged for each project of a telemetry batch', async () => {
    const names = ['own', 'limited', 'own', 'limited', 'limited', 'plain']
    const events = names.map((name) => eventOf(name, name))
    const admission = createTestAdmission()
    const { kept } = await admission.reserve('telemetry', senders(plain), normalised(events))
    expect(kept.map(({ row }) => (row as { project: string }).project)).toEqual([
      'own',
      'limited',
      'limited',
      'plain',
    ])
  })

  test('of one contract are not used up by another', async () => {
    const admission = createTestAdmission()
    const events = ['a', 'b', 'c'].map((name) => eventOf('limited', name))
    for (const contract of ['telemetry', 'report', 'capture'] as const) {
      const verdict = await admission.reserve(contract, senders(), normalised(events))
      expect(verdict.kept).toHaveLength(2)
    }
    const links = ['limited', 'limited', 'limited'].map(linkOf)
    const { kept } = await admission.reserve('link', senders(), normalised(links))
    expect(kept).toHaveLength(2)
  })

  test('are reserved until the request is settled or fails', async () => {
    const admission = createTestAdmission()
    const events = ['a', 'b', 'c'].map((name) => eventOf('limited', name))
    const reserve = () => admission.reserve('capture', senders(), normalised(events))
    const first = await reserve()
    expect([first.kept.length, (await reserve()).kept.length]).toEqual([2, 0])
    first.release()
    const second = await reserve()
    expect(second.kept).toHaveLength(2)
    // One of them was a duplicate.
    second.settle([eventOf('limited', 'a')])
    second.release()
    const third = await reserve()
    expect(third.kept).toHaveLength(1)
  })

  test('count dead letters after the events, for the project of each', async () => {
    const admission = createTestAdmission()
    const rejections = [rejectionOf(0), rejectionOf(1), rejectionOf(2, 'plain')]
    const request = normalised([eventOf('limited', 'a')], { rejections })
    const verdict = await admission.reserve('capture', senders(), request)
    expect(verdict.kept).toHaveLength(1)
    expect(verdict.deadLetters.map(({ rejection }) => rejection.index)).toEqual([0, 2])
    verdict.settle(verdict.kept)
    const next = await admission.reserve('capture', senders(), request)
    expect([next.kept.length, next.deadLetters.length]).toEqual([0, 1])
    const recordings = { ...request, events: [], rejectedQuota: 'recordings' as const }
    const other = await admission.reserve('capture', senders(), recordings)
    expect(other.deadLetters).toHaveLength(2)
  })
})

describe('overflow', () => {
  test('diverts events of the main route above the rate of their key', () => {
    const admission = createTestAdmission()
    const events = ['a', 'b', 'c', 'd'].map((name) => eventOf('plain', name))
    expect(admission.divert(events, 1e12)).toBe(2)
    expect(events.map(({ route }) => route)).toEqual(['main', 'main', 'overflow', 'overflow'])
  })

  test('counts each contract by itself', () => {
    const admission = createTestAdmission()
    const of = (source: EventRow['source']) => {
      const event = eventOf('plain', source) as Extract<CanonicalEvent, { kind: 'event' }>
      return { ...event, row: { ...event.row, source } }
    }
    const telemetry = Array.from({ length: 5 }, () => of('telemetry'))
    expect(admission.divert(telemetry, 1e12)).toBe(3)
    expect(admission.divert([of('capture'), of('capture')], 1e12)).toBe(0)
  })

  test.each<[string, Partial<CanonicalEvent>]>([
    ['migrated events', { route: 'historical' }],
    ['recordings', { kind: 'recording' }],
    ['link events', { kind: 'link' }],
  ])('never diverts or counts %s', (_, changes) => {
    const admission = createTestAdmission()
    const others = ['a', 'b', 'c'].map(
      (name) => ({ ...eventOf('plain', name), ...changes }) as CanonicalEvent,
    )
    expect(admission.divert(others, 1e12)).toBe(0)
    expect(others.some(({ route }) => route === 'overflow')).toBe(false)
    expect(admission.divert([eventOf('plain', 'd'), eventOf('plain', 'e')], 1e12)).toBe(0)
  })
})
