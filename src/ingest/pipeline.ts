import { toDeadLetter, toRecord } from '../contracts/encode.ts'
import { IngestError } from '../core/errors.ts'
import type { CanonicalEvent } from '../core/event.ts'
import type { Log } from '../core/log.ts'
import type {
  Contract,
  IngestRequest,
  Normalised,
  Outcome,
  ProtocolName,
  Reply,
  Submission,
} from '../core/protocol.ts'
import type { Reservation } from '../journal/budget.ts'
import type { Journal } from '../journal/journal.ts'
import type { EventCounters } from '../observability/event-counters.ts'
import type { Admission, QuotaVerdict } from './admission.ts'
import { decodeBody } from './decode/body.ts'
import type { Claim } from './dedup/claim.ts'
import type { Dedup } from './dedup/dedup.ts'
import type { AdmissionTicket, MemoryAdmission } from './load-shedding/admission-ticket.ts'
import type { TurnScheduler } from './load-shedding/turn-scheduler.ts'

/** `$set` is stored in two columns, and chunks of a recording are JSON text inside JSON text. */
const encodedBytesPerDecoded = 2
/** The record's head, and the columns that the client does not send, such as key and user agent. */
const recordOverheadBytes = 2048

/**
 * The pipeline: takes a request of any contract and returns its reply. Acknowledged events are on
 * disk. Without Redis only the body and the commit are awaited. It is one async function: measured,
 * a chain of awaited functions takes 5 % more CPU.
 */
export function createIngest(options: IngestOptions): Ingest {
  const { memory, scheduler, admission, dedup, counters, dedupIdentity, skewMsMin } = options
  return async function ingest(contract, incoming) {
    let ticket: AdmissionTicket | undefined
    let quota: QuotaVerdict | undefined
    let claim: Claim | undefined
    let stored: Stored | undefined
    let received = 0
    try {
      options.assertOpen()
      contract.assertHead?.(incoming)
      ticket = memory.admit(incoming.announcedBytes)
      const bytes = await incoming.read(contract.decode.bodyBytesMax, ticket)
      const turn = scheduler.take()
      if (turn) await turn
      const decoding = decodeBody({
        request: incoming,
        body: bytes,
        rules: contract.decode,
        ticket,
      })
      const body = decoding instanceof Promise ? await decoding : decoding
      const submission = contract.parse(incoming, body)
      received = submission.received
      const admitting = admission.admit(contract.name, submission, incoming)
      const senders = admitting instanceof Promise ? await admitting : admitting
      const lineBytesMax = options.lineBytesMax()
      const context = { ...senders, dedupIdentity, lineBytesMax, skewMsMin }
      const normalised = contract.normalise(incoming, submission, context)
      const reserving = admission.reserve(contract.name, senders, normalised)
      quota = reserving instanceof Promise ? await reserving : reserving
      const dedupKeys = quota.kept.map((event) => event.dedupKey)
      const claiming = dedup.claim(dedupKeys, normalised.payloadKey)
      claim = claiming instanceof Promise ? await claiming : claiming
      const { decodedBytes } = body
      const claimed = { incoming, normalised, quota, claim, decodedBytes }
      stored = store(options, contract.name, claimed)
      if (stored.durable) await stored.durable
      quota.settle(stored.newEvents)
      counters.addCommitted(contract.name, stored.newEvents.length)
      const marking = claim.commit()
      if (marking) await marking
      const outcome = settle(counters, contract.name, { claimed, stored })
      const reply = contract.reply(incoming, submission, outcome)
      // Every event of the request was rejected.
      const reason = normalised.rejections[0]?.code
      return reply.status >= 400 && reason !== undefined ? { ...reply, reason } : reply
    } catch (error) {
      // Release the claim so that a retry is accepted. No-op after `commit`.
      claim?.release()
      if (received > 0) counters.addRefused(contract.name, received, toCode(error))
      const refusal = toIngestError(error, incoming, options.log)
      return { ...contract.refuse(refusal, incoming), reason: refusal.code }
    } finally {
      stored?.reservation.release()
      // No-op after `settle`.
      quota?.release()
      ticket?.release()
    }
  }
}

export type Ingest = <S extends Submission>(
  contract: Contract<S>,
  incoming: Incoming,
) => Promise<Reply>

/** A request whose body has not been read. `read` charges the ticket as bytes arrive. */
export type Incoming = IngestRequest & {
  id: string
  /** Content-Length, or 0 if it is missing. */
  announcedBytes: number
  read(bytesMax: number, ticket: AdmissionTicket): Promise<Uint8Array>
}

export type IngestOptions = {
  /** Throws `starting` or `shutting_down` while requests are not accepted. */
  assertOpen(): void
  memory: Pick<MemoryAdmission, 'admit'>
  scheduler: Pick<TurnScheduler, 'take'>
  admission: Admission
  dedup: Pick<Dedup, 'claim'>
  journal: Pick<Journal, 'reserve' | 'append'>
  counters: Pick<EventCounters, 'addCommitted' | 'addOutcome' | 'addDuplicate' | 'addRefused'>
  log: Pick<Log, 'error'>
  dedupIdentity: 'uuid' | 'contract'
  /** The largest line of a recording. It may shrink when a sink learns its limit. */
  lineBytesMax(): number
  skewMsMin: number
}

type Claimed = {
  incoming: Incoming
  normalised: Normalised
  /** The events and dead letters that the quotas allow. */
  quota: QuotaVerdict
  claim: Claim
  decodedBytes: number
}

type Stored = {
  newEvents: CanonicalEvent[]
  diverted: number
  /** Resolves once the records are synced; undefined if there is nothing to store. */
  durable: Promise<void> | undefined
  /** Journal capacity, kept until the records are durable. */
  reservation: Reservation
}

/** Appends the new events and the dead letters. */
function store(
  { admission, journal }: IngestOptions,
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
function settle(
  counters: Pick<EventCounters, 'addOutcome' | 'addDuplicate'>,
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
      if (!claim.isNew(index)) counters.addDuplicate(toProjectId(event))
  }
  const quotaLimited = quota.limited
  const overQuota = quotaDropped > 0 ? toOverQuota(events, quota.kept) : none
  return { events: newEvents, rejections, moreRejected: more, duplicates, quotaLimited, overQuota }
}

const toProjectId = ({ kind, row }: CanonicalEvent) =>
  kind === 'link' ? row.project_id : row.project

const none: readonly CanonicalEvent[] = []

function toOverQuota(events: readonly CanonicalEvent[], kept: readonly CanonicalEvent[]) {
  const allowed = new Set(kept)
  return events.filter((event) => !allowed.has(event))
}

const toCode = (error: unknown) => (error instanceof IngestError ? error.code : 'internal_error')

/** Any other error is a fault of the server: its details are logged and not sent to the client. */
function toIngestError(
  error: unknown,
  { id, path }: Incoming,
  log: Pick<Log, 'error'>,
): IngestError {
  if (error instanceof IngestError) return error
  const stack = error instanceof Error ? error.stack : String(error)
  log.error({ id, path, error: stack }, 'a request failed; the error is a fault of the server')
  return new IngestError('internal_error', 'the server failed; the request may be sent again')
}
