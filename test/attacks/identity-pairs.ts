import fc from 'fast-check'
import { normaliseCapture } from '../../src/contracts/capture/normalise.ts'
import { captureProtocol } from '../../src/contracts/capture/protocol.ts'
import { normaliseRecording } from '../../src/contracts/capture/recording.ts'
import { normaliseLink } from '../../src/contracts/link/normalise.ts'
import { linkProtocol } from '../../src/contracts/link/protocol.ts'
import { normaliseReport } from '../../src/contracts/report/normalise.ts'
import { normaliseTelemetry } from '../../src/contracts/telemetry/normalise.ts'
import type { CanonicalEvent, DedupKey } from '../../src/core/event.ts'
import type { IngestRequest, Normalised } from '../../src/core/protocol.ts'

/** An event of any contract, by the fields that identity depends on. */
type Sent = {
  contract: 'capture' | 'recording' | 'telemetry' | 'link' | 'report'
  project: string
  /** distinct_id, or the session of telemetry and link. */
  person: string
  /** Event name, type of a link event, session of a recording. */
  name: string
  /** uuid, id, event_id or Idempotency-Key. `rowOfOther`: the uuid that the other event's row has. */
  id: string | undefined
  time: string | undefined
  /** `X-USER-ID` of a report. */
  user: string
}

export const receivedMs = new Date().setUTCHours(0, 0, 0, 0)
const rowOfOther = 'the uuid of the row of the other event'

const uuid = '0192f0c1-2b3c-4d4e-8f50-617283940a1b'
const cut = 'x'.repeat(200)
const times = [0, 1].map((ms) => new Date(receivedMs + ms).toISOString())

const persons = ['u', 'uu', 'a\n1', '🦊', '\ud800', '\udfff', cut, `${cut}a`, `${cut}b`]
const ids = [
  ...[undefined, rowOfOther, uuid, uuid.toUpperCase(), uuid.replaceAll('-', ''), `{${uuid}}`],
  ...[uuid.replace('0a1b', '0a1c'), '1', 'evt-1'],
]

const sent: fc.Arbitrary<Sent> = fc.record({
  contract: fc.constantFrom('capture', 'recording', 'telemetry', 'link', 'report'),
  project: fc.constantFrom('p', 'p', 'p', 'pu'),
  person: fc.constantFrom(...persons),
  name: fc.constantFrom('e', 'ue', 'capture'),
  id: fc.constantFrom(...ids),
  time: fc.constantFrom(undefined, times[0], times[0], times[1], uuid, '\ud800', '\ud801'),
  user: fc.constantFrom('u', 'v'),
})

/** Two events that differ in one field or in many. */
export const pair: fc.Arbitrary<readonly [Sent, Sent]> = fc
  .tuple(sent, sent, fc.subarray(Object.keys(fields())))
  .map(([one, other, names]) => {
    const changes = Object.entries(other).filter(([name]) => names.includes(name))
    return [one, { ...one, ...Object.fromEntries(changes) }] as const
  })

function fields(): Record<keyof Sent, true> {
  const head = { contract: true, project: true, person: true } as const
  return { ...head, name: true, id: true, time: true, user: true }
}

/**
 * The identity by the contracts' documents, written without the code under test. Undefined: the
 * event is never a duplicate. `id` is already resolved.
 */
function identityOf({ contract, project, person, name, id, time, user }: Sent) {
  const stored = [...person].slice(0, 200).join('').toWellFormed()
  if (contract === 'capture' || contract === 'recording') {
    const hex = /^\{?[0-9a-f-]{32,36}\}?$/i.test(id ?? '')
      ? id!.replace(/[{}-]/g, '').toLowerCase()
      : undefined
    if (hex === undefined && time === undefined) return undefined
    return JSON.stringify([contract, project, stored, name, hex ?? [time, id]])
  }
  if (id === undefined) return undefined
  return JSON.stringify([contract, project, contract === 'report' ? user : '', id])
}

export type Normal = { event: CanonicalEvent; payloadKey: DedupKey | undefined }

/** The two events as the server reads them, and their identities. */
export function toNormal([one, other]: readonly [Sent, Sent]) {
  const first = { ...one, id: one.id === rowOfOther ? uuid : toId(one) }
  const a = normalise(first)
  // The server gives a link event without an id one, and tells it.
  if (a.event.kind === 'link') first.id = a.event.row.event_id
  const second = { ...other, id: other.id === rowOfOther ? toIdOf(a, other) : toId(other) }
  const b = normalise(second)
  const identities = [identityOf(first), identityOf(second)] as const
  const isReport = first.contract === 'report'
  const isOtherPayload = isReport && (first.name !== second.name || cutOf(first) !== cutOf(second))
  return { events: [a, b] as const, identities, isOtherPayload }
}

/** What the second event sends to pass for the first. */
const toIdOf = ({ event: { kind, row } }: Normal, { contract }: Sent) =>
  kind === 'link' && contract === 'link' ? row.event_id : row.uuid

/** The contracts other than capture refuse a longer text. */
const cutOf = ({ person }: Pick<Sent, 'person'>) => person.slice(0, 200)

/** Telemetry has no event without an id. */
const toId = ({ contract, id }: Sent) => (contract === 'telemetry' ? (id ?? 'none') : id)

function normalise(event: Sent): Normal {
  const request = toRequest(event)
  const { events, rejections, payloadKey } = normalisers[event.contract](request, event)
  if (events.length !== 1) throw new Error(`not one event: ${JSON.stringify(rejections)}`)
  return { event: events[0]!, payloadKey }
}

type Normaliser = (request: IngestRequest, event: Sent) => Normalised

const normalisers: Record<Sent['contract'], Normaliser> = {
  capture: (request, { project, person, name, id, time }) => {
    const value = { token: 't', event: name, distinct_id: person, uuid: id, timestamp: time }
    return normaliseCapture(request, toSubmission(request, value), toContext(project))
  },
  recording: (request, { project, person, name, id, time }) => {
    const properties = { $session_id: name, $snapshot_data: [name], distinct_id: person }
    const value = { token: 't', event: '$snapshot', properties, uuid: id, timestamp: time }
    return normaliseRecording(request, toSubmission(request, value), toContext(project))
  },
  telemetry: (request, { project, person, name, id }) => {
    const who = { app: project, sessionId: cutOf({ person }) }
    const value = { ...who, id, name, type: 'page', ts: receivedMs, release: '1' }
    return normaliseTelemetry(request, { events: [value] })
  },
  link: (request, { project, person, name, id, time }) => {
    const what = { event_id: id, event_type: name, event_time: isTime(time) ? time : undefined }
    const value = { project_id: project, visitor_id: cutOf({ person }), ...what }
    const body = { value, decodedBytes: 2 }
    return normaliseLink(request, linkProtocol.parse(request, body))
  },
  report: (request, { project, person, name }) => {
    const value = { name, user: cutOf({ person }), sessionId: 's' }
    return normaliseReport(request, { events: [value] }, toContext(project))
  },
}

const isTime = (time: string | undefined) => time !== undefined && times.includes(time)

const toSubmission = (request: IngestRequest, value: unknown) =>
  captureProtocol.parse(request, { value, decodedBytes: 2 })

function toRequest({ user, id }: Sent): IngestRequest {
  const headers = new Headers({ 'x-user-id': user, ...(id ? { 'idempotency-key': id } : {}) })
  const where = { method: 'POST', path: '/', query: new URLSearchParams(), clientIp: '::1' }
  return { ...where, headers, receivedMs }
}

const toContext = (id: string) => ({
  project: { id, origins: undefined, rate: undefined, quotas: {} },
  ...({ dedupIdentity: 'uuid', lineBytesMax: 1_000_000, skewMsMin: 5000 } as const),
})
