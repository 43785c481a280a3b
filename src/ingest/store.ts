import { toDeadLetter, toRecord } from '../contracts/encode.ts'
import type { IngestError } from '../core/errors.ts'
import type { CanonicalEvent } from '../core/event.ts'
import type { IngestRequest, Normalised, Outcome, ProtocolName } from '../core/protocol.ts'
import type { Reservation } from '../journal/budget.ts'
import type { Journal } from '../journal/journal.ts'
import type { EventCounters, ProjectCounts } from '../observability/event-counters.ts'
import type { Admission, QuotaVerdict } from './admission.ts'
import type { Claim } from './dedup/claim.ts'

/** Appends the new events and the dead letters. */
export function store(
  { admission, journal }: StoreOptions,
  protocol: ProtocolName,
  { incoming, normalised, quota, claim, decodedBytes }: Claimed,
): Stored {
  const newEvents = quota.kept.filter((_, index) => claim.isNew(index))
  const { deadLetters } = quota
  const count = newEvents.length + deadLetters.length
  const bytes = decodedBytes * encodedBytesPerDecoded + count * recordOverheadBytes
  const reservation = journal.reserve(bytes)
  try {
    const diverted = admission.divert(newEvents, incoming.receivedMs)
    const records = newEvents.map(toRecord)
    const { payloadKey } = normalised
    if (payloadKey !== undefined && records[0]) records[0].payloadKey = payloadKey
    for (const letter of deadLetters) {
      records.push(toDeadLetter({ ...letter, protocol, request: incoming }))
    }
    const durable = count > 0 ? journal.append(records) : undefined
    return { newEvents, diverted, durable, reservation }
  } catch (error) {
    reservation.release()
    throw error
  }
}

/** Counts each event, once the new ones are durable. */
export function settle(
  { counters, observer }: SettleOptions,
  protocol: ProtocolName,
  { claimed, stored }: { claimed: Claimed; stored: Stored },
): Outcome {
  const { quota, normalised, claim } = claimed
  const { events, rejections, moreRejected = {}, dropped } = normalised
  const { newEvents, diverted } = stored
  const accepted = newEvents.length
  const duplicates = quota.kept.length - accepted
  const quotaDropped = events.length - quota.kept.length
  const counts = { accepted, duplicates, dropped, quotaDropped, diverted, rejections, moreRejected }
  const more = counters.addOutcome(protocol, counts) - rejections.length
  if (duplicates > 0) {
    for (const [index, event] of quota.kept.entries())
      if (!claim.isNew(index)) counters.addAltered(toProjectId(event), 'duplicate')
  }
  for (const event of newEvents) {
    if (event.altered === undefined) continue
    for (const kind of event.altered) counters.addAltered(toProjectId(event), kind)
  }
  const quotaLimited = quota.limited
  const overQuota = quotaDropped > 0 ? toOverQuota(events, quota.kept) : none
  countByProject(counters, 'accepted', newEvents)
  if (duplicates > 0)
    countByProject(
      counters,
      'duplicate',
      quota.kept.filter((_, index) => !claim.isNew(index)),
    )
  countByProject(counters, 'quota_dropped', overQuota)
  observer?.settled(protocol, claimed, { newEvents, overQuota })
  return { events: newEvents, rejections, moreRejected: more, duplicates, quotaLimited, overQuota }
}

const toProjectId = ({ kind, row }: CanonicalEvent) =>
  kind === 'link' ? row.project_id : row.project

/** Most events of a request have the same project. */
function countByProject(
  counters: SettleOptions['counters'],
  outcome: keyof ProjectCounts,
  events: readonly CanonicalEvent[],
): void {
  let first = 0
  for (let at = 1; at <= events.length; at += 1) {
    const project = toProjectId(events[first]!)
    if (at < events.length && toProjectId(events[at]!) === project) continue
    counters.addOfProject(project, outcome, at - first)
    first = at
  }
}

const none: readonly CanonicalEvent[] = []

function toOverQuota(events: readonly CanonicalEvent[], kept: readonly CanonicalEvent[]) {
  const allowed = new Set(kept)
  return events.filter((event) => !allowed.has(event))
}

/**
 * Watches the pipeline for operators. It must not throw, and it must cost little: it runs on the
 * serving thread, within the request.
 */
export type IngestObserver = {
  /** The outcome of each event of a request, or of a slice of a large one. */
  settled(
    protocol: ProtocolName,
    claimed: Claimed,
    outcome: { newEvents: readonly CanonicalEvent[]; overQuota: readonly CanonicalEvent[] },
  ): void
  /** A request that was refused as a whole. `body` is as sent; undefined or empty if its memory was given away. */
  refused(protocol: ProtocolName, request: ObservedRequest, refusal: Refusal): void
}

export type ObservedRequest = IngestRequest & { id: string }

type Refusal = { error: IngestError; events: number; body: Uint8Array | undefined }

export type SettleOptions = {
  counters: Pick<EventCounters, 'addOutcome' | 'addAltered' | 'addOfProject'>
  observer?: IngestObserver | undefined
}

export type StoreOptions = {
  admission: Pick<Admission, 'divert'>
  journal: Pick<Journal, 'reserve' | 'append'>
}

export type Claimed = {
  incoming: ObservedRequest
  normalised: Normalised
  /** The events and dead letters that the quotas allow. */
  quota: QuotaVerdict
  claim: Claim
  decodedBytes: number
}

export type Stored = {
  newEvents: CanonicalEvent[]
  diverted: number
  /** Resolves once the records are synced; undefined if there is nothing to store. */
  durable: Promise<void> | undefined
  /** Journal capacity, kept until the records are durable. */
  reservation: Reservation
}

/** `$set` is stored in two columns, and chunks of a recording are JSON text inside JSON text. */
const encodedBytesPerDecoded = 2
/** The record's head, and the columns that the client does not send, such as key and user agent. */
const recordOverheadBytes = 2048
