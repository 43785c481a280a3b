import { toDeadLetter, toRecord } from '../contracts/encode.ts'
import { IngestError } from '../core/errors.ts'
import type { CanonicalEvent, Category } from '../core/event.ts'
import type { Log } from '../core/log.ts'
import type {
  Contract,
  IngestRequest,
  Normalised,
  Outcome,
  Project,
  ProtocolName,
  Reply,
  Submission,
} from '../core/protocol.ts'
import type { Reservation } from '../journal/budget.ts'
import type { Journal } from '../journal/journal.ts'
import type { EventCounters } from '../observability/event-counters.ts'
import type { Projects } from '../projects/projects.ts'
import type { Admission } from './admission.ts'
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
  const { memory, scheduler, projects, admission, dedup, counters } = options
  const { dedupIdentity } = options
  return async function ingest(contract, incoming) {
    let ticket: AdmissionTicket | undefined
    let claim: Claim | undefined
    let stored: Stored | undefined
    let received = 0
    try {
      options.assertOpen()
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
      const project = projects.find(contract.name, submission.credential)
      assertOrigin(project, incoming)
      const rate = admission.takeRate(contract.name, project, incoming)
      if (rate) await rate
      const context = { project, dedupIdentity, lineBytesMax: options.lineBytesMax() }
      const normalised = contract.normalise(incoming, submission, context)
      const quota = admission.underQuota(normalised.events)
      const { kept, limited } = quota instanceof Promise ? await quota : quota
      const claiming = dedup.claim(kept.map((event) => event.dedupKey))
      claim = claiming instanceof Promise ? await claiming : claiming
      const claimed = {
        incoming,
        project,
        normalised,
        kept,
        claim,
        decodedBytes: body.decodedBytes,
      }
      stored = store(options, contract.name, claimed)
      if (stored.durable) await stored.durable
      counters.addCommitted(contract.name, stored.newEvents.length)
      const marking = claim.commit()
      if (marking) await marking
      const outcome = settle(options, contract.name, { claimed, stored, limited })
      return contract.reply(incoming, submission, outcome)
    } catch (error) {
      // Release the claim so that a retry is accepted. No-op after `commit`.
      claim?.release()
      if (received > 0) counters.addRefused(contract.name, received, toCode(error))
      return contract.refuse(toIngestError(error, incoming, options.log), incoming)
    } finally {
      stored?.reservation.release()
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
  projects: Pick<Projects, 'find'>
  admission: Admission
  dedup: Pick<Dedup, 'claim'>
  journal: Pick<Journal, 'reserve' | 'append'>
  counters: Pick<EventCounters, 'addCommitted' | 'addOutcome' | 'addRefused'>
  log: Pick<Log, 'error'>
  dedupIdentity: 'uuid' | 'contract'
  /** The largest line of a recording. It may shrink when a sink learns its limit. */
  lineBytesMax(): number
}

type Claimed = {
  incoming: Incoming
  project: Project
  normalised: Normalised
  /** The events that the quotas allow. */
  kept: readonly CanonicalEvent[]
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

/** Appends the new events, and the rejections as dead letters. */
function store(
  { admission, journal }: IngestOptions,
  protocol: ProtocolName,
  { incoming, project, normalised, kept, claim, decodedBytes }: Claimed,
): Stored {
  const newEvents = kept.filter((_, index) => claim.isNew(index))
  const { rejections } = normalised
  const count = newEvents.length + rejections.length
  const bytes = decodedBytes * encodedBytesPerDecoded + count * recordOverheadBytes
  const reservation = journal.reserve(bytes)
  try {
    const diverted = admission.divert(newEvents, incoming.receivedMs)
    const records = newEvents.map(toRecord)
    for (const rejection of rejections) {
      const rejected = { rejection, project: project.id, protocol }
      records.push(toDeadLetter({ ...rejected, request: incoming }))
    }
    const durable = count > 0 ? journal.append(records) : undefined
    return { newEvents, diverted, durable, reservation }
  } catch (error) {
    reservation.release()
    throw error
  }
}

/** Charges quotas and counts each event, once the new ones are durable. */
function settle(
  { admission, counters }: IngestOptions,
  protocol: ProtocolName,
  { claimed, stored, limited }: { claimed: Claimed; stored: Stored; limited: readonly Category[] },
): Outcome {
  const { kept, normalised } = claimed
  const { events, rejections, dropped } = normalised
  const { newEvents, diverted } = stored
  admission.charge(newEvents)
  const accepted = newEvents.length
  const duplicates = kept.length - accepted
  const quotaDropped = events.length - kept.length
  const counts = { accepted, duplicates, dropped, quotaDropped, diverted, rejections }
  counters.addOutcome(protocol, counts)
  return { events: newEvents, rejections, duplicates, quotaLimited: limited }
}

function assertOrigin(project: Project, request: IngestRequest): void {
  if (!project.origins) return
  const origin = request.headers.get('origin')?.toLowerCase()
  if (origin === undefined || project.origins.includes(origin)) return
  throw new IngestError('origin_not_allowed', `origin ${origin} may not send for this project`)
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
