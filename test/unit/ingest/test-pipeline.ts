import { expect } from 'bun:test'
import { IngestError } from '../../../src/core/errors.ts'
import type { CanonicalEvent, EventRow, Rejection } from '../../../src/core/event.ts'
import type { Contract, Project, Submission } from '../../../src/core/protocol.ts'
import type { JournalRecord } from '../../../src/core/record.ts'
import { createSenderHold } from '../../../src/core/sender-hold.ts'
import type { Admission } from '../../../src/ingest/admission.ts'
import { toDeadLetters } from '../../../src/ingest/dead-letters.ts'
import { createDedup, type Dedup } from '../../../src/ingest/dedup/dedup.ts'
import { createDedupTable } from '../../../src/ingest/dedup/seen-table.ts'
import { createMemoryAdmission } from '../../../src/ingest/load-shedding/admission-ticket.ts'
import { createIngest, type Incoming } from '../../../src/ingest/pipeline.ts'
import { createEventCounters } from '../../../src/observability/event-counters.ts'
import { createTestClock, toDedupKey } from './support.ts'

export type Point =
  | 'assertOpen'
  | 'admit'
  | 'read'
  | 'turn'
  | 'charge memory'
  | 'parse'
  | 'find project'
  | 'rate'
  | 'normalise'
  | 'quota'
  | 'claim'
  | 'reserve'
  | 'divert'
  | 'append'
  | 'commit'
  | 'mark seen'

const shop: Project = { id: 'shop', origins: ['https://shop'], rate: undefined, quotas: {} }

type TestSubmission = Submission & { events: string[] }

/** Events are strings: `bad …` is rejected, `drop …` dropped, `refuse …` refuses all, anything else accepted once. */
function createTestContract(at: (point: Point) => void): Contract<TestSubmission> {
  return {
    key: 'report',
    name: 'report',
    decode: { bodyBytesMax: 1_000_000, forms: false, base64: false },
    parse(_, { value }) {
      at('parse')
      const { events } = value as { events: string[] }
      return { credential: 'shop', received: events.length, events }
    },
    normalise(_, { events }) {
      at('normalise')
      const isRejected = (name: string) => name.startsWith('bad')
      const isDropped = (name: string) => name.startsWith('drop')
      if (events.some((name) => name.startsWith('refuse'))) {
        const refusal = { code: 'invalid_field' as const, message: 'bad', details: {} }
        return { events: [], rejections: events.map(toRejection), refusal, dropped: 0 }
      }
      return {
        events: events.filter((name) => !isRejected(name) && !isDropped(name)).map(toEvent),
        rejections: events.filter(isRejected).map(toRejection),
        dropped: events.filter(isDropped).length,
      }
    },
    reply(_, __, { events, rejections, moreRejected, duplicates, quotaLimited }) {
      const accepted = events.map(({ row }) => (row as EventRow).event)
      const rejected = rejections.map(({ raw }) => raw)
      const more = moreRejected ? { moreRejected } : {}
      return reply(200, { accepted, rejected, ...more, duplicates, quotaLimited })
    },
    refuse: ({ status, code }) => reply(status, { code }),
  }
}

const reply = (status: number, body: object) => ({ status, body: JSON.stringify(body) })

export function toEvent(name: string): CanonicalEvent {
  const row: EventRow = {
    uuid: '00000000-0000-5000-8000-000000000000',
    project: 'shop',
    source: 'report',
    event: name,
    distinct_id: 'u',
    session_id: '',
    timestamp: 0,
    received_at: 0,
    ip: '',
    user_agent: '',
    library: '',
    properties: '{}',
    user: '{}',
    historical: false,
  }
  const dedupKey = toDedupKey(name)
  const altered = name.startsWith('altered') ? (['text_cut'] as const) : undefined
  return { kind: 'event', row, route: 'main', category: 'events', key: 'shop:u', dedupKey, altered }
}

const toRejection = (raw: string, index: number): Rejection => {
  return { index, code: 'invalid_event', message: 'bad', raw }
}

export type Fault = {
  point: Point
  error?: Error
  isAsync?: boolean
  /** Delays the point until then. */
  after?: Promise<void>
}

/**
 * The pipeline with fakes around it. `fail` makes one point throw, or reject if it is `isAsync`.
 */
export function createTestPipeline() {
  let fault: Fault | undefined
  const at = (point: Point): void | Promise<void> => {
    if (fault?.point !== point) return
    const { error, isAsync, after } = fault
    const end = () => {
      if (error) throw error
    }
    if (after) return after.then(end)
    if (isAsync) return Promise.reject(error)
    end()
  }
  const steps: string[] = []
  const logged: object[] = []
  const stored: JournalRecord[] = []
  const held = { reservations: 0, quotas: 0 }
  const memory = createMemoryAdmission({ bytesMax: 10_000_000, requestsMax: 10 })
  const table = createDedupTable({ bytesMax: 4096, now: createTestClock().now })
  const dedup = createDedup({ table })
  const counters = createEventCounters()
  const quota = { left: Number.POSITIVE_INFINITY }

  const admission: Admission = {
    admit() {
      at('find project')
      const senders = { project: shop }
      const failing = at('rate')
      return failing ? failing.then(() => senders) : senders
    },
    reserve(_, { project }, normalised) {
      const { events } = normalised
      const verdict = {
        kept: events.slice(0, quota.left),
        deadLetters: toDeadLetters(normalised, project.id),
        limited: [] as 'events'[],
        settle(newEvents: readonly unknown[]) {
          steps.push(`charge ${newEvents.length}`)
          verdict.release()
        },
        release() {
          held.quotas -= 1
          verdict.release = () => {}
        },
      }
      if (verdict.kept.length < events.length) verdict.limited.push('events')
      const failing = at('quota')
      if (failing === undefined) held.quotas += 1
      return failing ? failing.then(() => verdict) : verdict
    },
    divert(events) {
      at('divert')
      return events.filter(({ key }) => key === 'hot').length
    },
  }
  const journal = {
    reserve() {
      at('reserve')
      held.reservations += 1
      return {
        release() {
          held.reservations -= 1
          steps.push('release reservation')
        },
      }
    },
    append(records: readonly JournalRecord[]) {
      at('append')
      steps.push('append')
      return Promise.resolve(at('commit')).then(() => {
        stored.push(...records)
        steps.push('durable')
      })
    },
  }
  const ingest = createIngest({
    assertOpen: () => at('assertOpen'),
    memory: { admit: (bytes) => admit(memory, bytes, at) },
    scheduler: { take: () => at('turn') ?? undefined },
    hold: createSenderHold(),
    thread: { open: () => expect.unreachable(), close() {} },
    admission,
    dedup: withFaults(dedup, steps, at),
    journal,
    counters,
    log: { error: (fields) => void logged.push(fields) },
    dedupIdentity: 'contract',
    lineBytesMax: () => 1_000_000,
    skewMsMin: 5000,
  })

  async function send(
    events: readonly string[],
    headers: Record<string, string> = {},
  ): Promise<{ status: number; [field: string]: unknown }> {
    const incoming = toIncoming(JSON.stringify({ events }), headers, at)
    const { status, body } = await ingest(createTestContract(at), incoming)
    return { status, ...(JSON.parse(body!) as Record<string, unknown>) }
  }
  return {
    send,
    sendText: (text: string) => ingest(createTestContract(at), toIncoming(text, {}, at)),
    fail(next: Fault | undefined) {
      fault = next
    },
    limitQuota(left: number) {
      quota.left = left
    },
    steps,
    logged,
    stored,
    counters: counters.byContract.report,
    altered: () => counters.alteredByProject.get('other'),
    /** The resources that a request must have released before its reply. */
    held: () => ({
      requests: memory.used().requests,
      bytes: memory.used().bytes,
      reservations: held.reservations,
      quotas: held.quotas,
      claims: dedup.pending(),
    }),
  }
}

type At = (point: Point) => void | Promise<void>

function admit(memory: ReturnType<typeof createMemoryAdmission>, bytes: number, at: At) {
  at('admit')
  const ticket = memory.admit(bytes)
  return {
    charge(more: number) {
      at('charge memory')
      ticket.charge(more)
    },
    reserveWork: (more: number) => ticket.reserveWork(more),
    workAlone: <T>(work: () => Promise<T>) => ticket.workAlone(work),
    release: () => ticket.release(),
  }
}

function withFaults(dedup: Dedup, steps: string[], at: At): Pick<Dedup, 'claim'> {
  return {
    claim(dedupKeys, payloadKey) {
      const failing = at('claim')
      if (failing) return failing.then(() => dedup.claim(dedupKeys, payloadKey))
      const claim = dedup.claim(dedupKeys, payloadKey)
      if (claim instanceof Promise) return claim
      return {
        duplicates: claim.duplicates,
        isNew: (index) => claim.isNew(index),
        commit() {
          steps.push('mark seen')
          claim.commit()
          return at('mark seen')
        },
        release: () => claim.release(),
      }
    },
  }
}

function toIncoming(text: string, headers: Record<string, string>, at: At): Incoming {
  const bytes = new TextEncoder().encode(text)
  return {
    id: 'request',
    method: 'POST',
    path: '/test',
    query: new URLSearchParams(),
    headers: new Headers(headers),
    clientIp: '203.0.113.7',
    receivedMs: 1_700_000_000_000,
    announcedBytes: bytes.length,
    async read() {
      await at('read')
      return bytes
    },
  }
}

export const refusal = (code: ConstructorParameters<typeof IngestError>[0]) =>
  new IngestError(code, 'no')
