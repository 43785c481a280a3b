import { copyText } from '../core/copy-text.ts'
import type { CanonicalEvent } from '../core/event.ts'
import type { ProtocolName } from '../core/protocol.ts'
import type { Claimed, IngestObserver, ObservedRequest } from '../ingest/store.ts'
import { createLiveTaps, type LiveEvent, type LiveTaps } from './live-taps.ts'
import { createRefusalLog, type RefusalLog, type RequestFacts } from './refusal-log.ts'

/**
 * The console's memory of the requests of this process: the last requests with the uuids of their
 * events, events that were not stored with the reason, and samples for watchers. All of it is
 * bounded. A restart clears it.
 */
export type Observations = {
  observer: IngestObserver
  taps: LiveTaps
  refusals: RefusalLog
  /** Requests with this id, this id of the client's own, or an event of this uuid; newest first. */
  findRequests(id: string): SeenRequest[]
  /** The requests of this contract that were received in this millisecond. */
  requestsAt(contract: string, receivedMs: number): SeenRequest[]
  /** Events that were not stored, of these requests or of this uuid or distinct_id; newest first. */
  findUnstored(ids: ReadonlySet<string>): UnstoredEvent[]
}

/** A request whose events were accepted, at least in part. */
export type SeenRequest = RequestFacts & {
  /** Events that were stored. `uuids` names the first ones. */
  stored: number
  uuids: readonly string[]
}

/** An event that its request did not store: a duplicate, a rejected one, or one beyond a quota. */
export type UnstoredEvent = {
  at_ms: number
  outcome: 'duplicate' | 'rejected' | 'quota_dropped'
  contract: ProtocolName
  request_id: string
  client_id: string | null
  client_ip: string
  method: string
  path: string
  project: string
  event: string
  distinct_id: string
  uuid: string | null
  dedup_key: string | null
  /** Position in its request, of a rejected one. */
  index: number | null
  reason: string
  message: string
}

const requestsMax = 4000
const uuidsMax = 25
const unstoredMax = 4000
/** Of one request: a body may hold 100,000 duplicates. */
const unstoredPerRequestMax = 100
/** Of each second. More could not be remembered for long, and the work would be noticed. */
const requestsPerSecondMax = 1000

export function createObservations(): Observations {
  const requests = createRing<SeenRequest>(requestsMax)
  const unstored = createRing<UnstoredEvent>(unstoredMax)
  const taps = createLiveTaps()
  const refusals = createRefusalLog()
  let second = 0
  let inSecond = 0

  /** At most so many in a second. */
  function isKept(receivedMs: number): boolean {
    const now = Math.floor(receivedMs / 1000)
    if (now !== second) {
      second = now
      inSecond = 0
    }
    inSecond += 1
    return inSecond <= requestsPerSecondMax
  }

  const observer: IngestObserver = {
    settled(contract, claimed, { newEvents, overQuota }) {
      const { incoming, normalised, quota } = claimed
      const isComplete = newEvents.length === normalised.events.length
      const isWatched = taps.isWatched(incoming.receivedMs)
      if (isWatched) watchStored(taps, contract, { incoming, newEvents })
      if (!isKept(incoming.receivedMs) && !isWatched) return
      const facts = toFacts(contract, incoming)
      const uuids = newEvents.slice(0, uuidsMax).map(({ row }) => row.uuid)
      requests.push({ ...facts, stored: newEvents.length, uuids })
      if (isComplete && normalised.rejections.length === 0) return
      const kept = { claimed, overQuota, hasDuplicates: newEvents.length < quota.kept.length }
      for (const event of toUnstored(facts, kept)) {
        unstored.push(event)
        if (isWatched) taps.offer(toLive(event))
      }
    },
    refused(contract, request, refusal) {
      const { error, events } = refusal
      const isWatched = taps.isWatched(request.receivedMs)
      if (isWatched) taps.offer(toLiveRefusal(contract, request, { error, events }))
      refusals.add(() => toFacts(contract, request), contract, refusal)
    },
  }

  return {
    observer,
    taps,
    refusals,
    findRequests: (id) =>
      requests.filter((one) => one.id === id || one.client_id === id || one.uuids.includes(id)),
    requestsAt: (contract, receivedMs) =>
      requests.filter((one) => one.received_ms === receivedMs && one.contract === contract),
    findUnstored: (ids) =>
      unstored.filter(
        ({ request_id, client_id, uuid, distinct_id }) =>
          ids.has(request_id) ||
          (client_id !== null && ids.has(client_id)) ||
          (uuid !== null && ids.has(uuid)) ||
          (distinct_id !== '' && ids.has(distinct_id)),
      ),
  }
}

const clientIdCharsMax = 128

/** There are few paths, but each request has its own string, which is a part of its URL. */
const paths = new Map<string, string>()
const pathsMax = 100

function toOwnPath(path: string): string {
  const known = paths.get(path)
  if (known !== undefined) return known
  const own = copyText(path, clientIdCharsMax)
  if (paths.size < pathsMax && own.length === path.length) paths.set(own, own)
  return own
}

function toFacts(contract: ProtocolName, request: ObservedRequest): RequestFacts {
  const { id, method, path, clientIp, receivedMs, headers } = request
  const clientId = headers.get('x-request-id')
  return {
    id,
    client_id: clientId === null ? null : copyText(clientId, clientIdCharsMax),
    client_ip: clientIp,
    method,
    path: toOwnPath(path),
    contract,
    received_ms: receivedMs,
  }
}

type Unstored = { claimed: Claimed; overQuota: readonly CanonicalEvent[]; hasDuplicates: boolean }

function toUnstored(facts: RequestFacts, { claimed, overQuota, hasDuplicates }: Unstored) {
  const { quota, claim, normalised } = claimed
  const found: UnstoredEvent[] = []
  const base = {
    at_ms: facts.received_ms,
    contract: facts.contract,
    request_id: facts.id,
    client_id: facts.client_id,
    client_ip: facts.client_ip,
    method: facts.method,
    path: facts.path,
  }
  const projectOf = new Map(quota.deadLetters.map((letter) => [letter.rejection, letter.project]))
  for (const rejection of normalised.rejections) {
    if (found.length >= unstoredPerRequestMax) break
    const { index, code, message, raw } = rejection
    const project = projectOf.get(rejection) ?? rejection.project ?? ''
    const named = { project, ...toNames(raw), uuid: null, dedup_key: null }
    const own = copyText(message, messageCharsMax)
    found.push({ ...base, ...named, outcome: 'rejected', index, reason: code, message: own })
  }
  const add = (event: CanonicalEvent, outcome: 'duplicate' | 'quota_dropped') => {
    if (found.length >= unstoredPerRequestMax) return
    const message = messages[outcome]
    const own = { uuid: event.row.uuid, dedup_key: event.dedupKey ?? null, index: null }
    const names = toEventNames(event)
    const copied = {
      project: toShort(names.project),
      event: toShort(names.event),
      distinct_id: toShort(names.distinct_id),
    }
    found.push({ ...base, ...copied, ...own, outcome, reason: outcome, message })
  }
  if (hasDuplicates)
    for (const [index, event] of quota.kept.entries())
      if (!claim.isNew(index)) add(event, 'duplicate')
  for (const event of overQuota) add(event, 'quota_dropped')
  return found
}

const messageCharsMax = 500
const messages = {
  duplicate: 'the same event was received within the last 24 hours',
  quota_dropped: 'a quota of the project is used up',
}

const textCharsMax = 200
const toShort = (value: unknown) => (typeof value === 'string' ? copyText(value, textCharsMax) : '')

/** The names of an event as sent, whose form is not known. */
function toNames(raw: unknown): { event: string; distinct_id: string } {
  const sent = (typeof raw === 'object' && raw !== null ? raw : {}) as Record<string, unknown>
  return {
    event: toShort(sent.event ?? sent.name ?? sent.event_type),
    distinct_id: toShort(sent.distinct_id ?? sent.$distinct_id),
  }
}

type EventNames = { project: string; event: string; distinct_id: string }

/** Events of large bodies have only a part of their row; then the key has the distinct_id. */
function toEventNames({ kind, row, key }: CanonicalEvent): EventNames {
  if (kind === 'link') {
    const distinctId = row.visitor_id ?? key.slice(row.project_id.length + 1)
    return { project: row.project_id, event: row.event_type, distinct_id: distinctId }
  }
  if (kind === 'recording')
    return { project: row.project, event: '$snapshot', distinct_id: row.distinct_id ?? '' }
  const distinctId = row.distinct_id ?? key.slice(row.project.length + 1)
  return { project: row.project, event: row.event, distinct_id: distinctId }
}

type Stored = { incoming: ObservedRequest; newEvents: readonly CanonicalEvent[] }

function watchStored(taps: LiveTaps, contract: ProtocolName, { incoming, newEvents }: Stored) {
  const { receivedMs: at_ms, id: request_id, clientIp: client_ip, path } = incoming
  for (const [index, event] of newEvents.entries()) {
    if (!taps.isHungry()) return taps.skip(newEvents.length - index)
    const { uuid } = event.row
    const seen = { at_ms, request_id, client_ip, path, contract, uuid, events: 1 }
    taps.offer({ ...seen, ...toEventNames(event), outcome: 'stored', reason: null, message: null })
  }
}

function toLive(event: UnstoredEvent): LiveEvent {
  const { dedup_key: _, client_id: __, index: ___, method: ____, ...live } = event
  return { ...live, events: 1 }
}

function toLiveRefusal(
  contract: ProtocolName,
  { receivedMs, id, clientIp, path }: ObservedRequest,
  { error, events }: { error: { code: string; message: string }; events: number },
): LiveEvent {
  return {
    at_ms: receivedMs,
    request_id: id,
    client_ip: clientIp,
    path: path.slice(0, clientIdCharsMax),
    contract,
    ...{ uuid: null, project: '', event: '', distinct_id: '' },
    outcome: 'refused',
    reason: error.code,
    message: error.message,
    events,
  }
}

type Ring<T> = { push(item: T): void; filter(isWanted: (item: T) => boolean): T[] }

/** The newest `max` items. */
function createRing<T>(max: number): Ring<T> {
  const items: T[] = []
  let next = 0
  return {
    push(item) {
      items[next] = item
      next = (next + 1) % max
    },
    /** Newest first. */
    filter(isWanted) {
      const found: T[] = []
      for (let age = 1; age <= items.length; age += 1) {
        const item = items[(next - age + items.length) % items.length]!
        if (isWanted(item)) found.push(item)
      }
      return found
    },
  }
}
