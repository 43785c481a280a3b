import { toDeadLetter, toRecord } from '../contracts/encode.ts'
import { IngestError } from '../core/errors.ts'
import type { CanonicalEvent } from '../core/event.ts'
import type { Log } from '../core/log.ts'
import type {
  Contract,
  IngestRequest,
  Normalised,
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
import type { Room, Ticket } from './load-shedding/admission-ticket.ts'
import type { TurnScheduler } from './load-shedding/turn-scheduler.ts'

/** A request whose body is still on the wire. `read` charges the ticket as bytes arrive. */
export type Incoming = IngestRequest & {
  id: string
  /** Content-Length; 0 where the client does not say. */
  announcedBytes: number
  read(bytesMax: number, ticket: Ticket): Promise<Uint8Array>
}

export type Ingest = <S extends Submission>(
  contract: Contract<S>,
  incoming: Incoming,
) => Promise<Reply>

export type IngestParts = {
  /** Throws `starting` or `shutting_down` while nothing may be accepted. */
  assertOpen(): void
  room: Room
  pace: Pick<TurnScheduler, 'take'>
  projects: Pick<Projects, 'find'>
  admission: Admission
  dedup: Dedup
  journal: Pick<Journal, 'reserve' | 'append'>
  counters: EventCounters
  log: Log
  dedupIdentity: 'uuid' | 'contract'
  lineBytesMax: number
}

/** Head, key, user agent and the other columns of a row, beside what the client sent. */
const recordOverheadBytes = 2048
/** `$set` stands in two columns, and chunks of a recording are text inside text. */
const encodedBytesPerDecoded = 2

/**
 * The pipeline: a request of any contract in, its reply out, and what it acknowledges is on disk. It waits only for what
 * is not there yet: with nothing shared between nodes that is the body and the commit. It is one function, since a chain
 * of them that wait for each other takes a twentieth longer.
 */
export function createIngest(parts: IngestParts): Ingest {
  const { dedupIdentity, lineBytesMax } = parts
  return async function ingest(contract, incoming) {
    let ticket: Ticket | undefined
    let claim: Claim | undefined
    let stored: Stored | undefined
    let received = 0
    try {
      parts.assertOpen()
      ticket = parts.room.enter(incoming.announcedBytes)
      const bytes = await incoming.read(contract.decode.bodyBytesMax, ticket)
      const turn = parts.pace.take()
      if (turn) await turn
      const opened = open(contract, { incoming, bytes, ticket })
      const body = opened instanceof Promise ? await opened : opened
      const submission = contract.parse(incoming, body)
      received = submission.received
      const project = parts.projects.find(contract.name, submission.credential)
      assertOrigin(project, incoming)
      const rate = parts.admission.takeRate(contract.name, project, incoming)
      if (rate) await rate
      const normalised = contract.normalise(incoming, submission, {
        project,
        dedupIdentity,
        lineBytesMax,
      })
      const quota = parts.admission.underQuota(normalised.events)
      const { kept, limited } = quota instanceof Promise ? await quota : quota
      const claiming = parts.dedup.claim(kept.map((event) => event.dedupKey))
      claim = claiming instanceof Promise ? await claiming : claiming
      const judged = { incoming, project, normalised, kept, claim, decodedBytes: body.decodedBytes }
      stored = store(parts, contract.name, judged)
      if (stored.durable) await stored.durable
      parts.counters.addCommitted(contract.name, stored.fresh.length)
      const marking = claim.commit()
      if (marking) await marking
      settle(parts, contract.name, { judged, stored })
      const duplicates = kept.length - stored.fresh.length
      const { rejections } = normalised
      const outcome = { events: stored.fresh, rejections, duplicates, quotaLimited: limited }
      return contract.reply(incoming, submission, outcome)
    } catch (error) {
      // What is refused may be sent again; once it is committed, this does nothing.
      claim?.release()
      if (received > 0) parts.counters.addRefused(contract.name, received, toCode(error))
      return contract.refuse(toRefusal(error, incoming, parts.log), incoming)
    } finally {
      stored?.room.release()
      ticket?.leave()
    }
  }
}

type Arrived = { incoming: Incoming; bytes: Uint8Array; ticket: Ticket }

function open<S extends Submission>({ decode: rules }: Contract<S>, arrived: Arrived) {
  const { incoming: request, bytes: body, ticket } = arrived
  const grow = (more: number) => ticket.grow(more)
  const makeRoom = (more: number) => ticket.makeRoom(more)
  return decodeBody({ request, body, rules, grow, makeRoom })
}

type Judged = {
  incoming: Incoming
  project: Project
  normalised: Normalised
  /** What the quotas leave of its events. */
  kept: readonly CanonicalEvent[]
  claim: Claim
  decodedBytes: number
}

/** `durable` resolves once they are synced; undefined where there is nothing to store. `room` is kept until then. */
type Stored = {
  fresh: CanonicalEvent[]
  diverted: number
  durable: Promise<void> | undefined
  room: Reservation
}

/** Hands what is new to the journal, and what was rejected as dead letters. */
function store(
  { admission, journal }: IngestParts,
  protocol: ProtocolName,
  { incoming, project, normalised, kept, claim, decodedBytes }: Judged,
): Stored {
  const fresh = kept.filter((_, index) => claim.isNew(index))
  const { rejections } = normalised
  const count = fresh.length + rejections.length
  const room = journal.reserve(decodedBytes * encodedBytesPerDecoded + count * recordOverheadBytes)
  try {
    const diverted = admission.divert(fresh, incoming.receivedMs)
    const records = fresh.map(toRecord)
    for (const rejection of rejections) {
      const rejected = { rejection, project: project.id, protocol }
      records.push(toDeadLetter({ ...rejected, request: incoming }))
    }
    return { fresh, diverted, durable: count > 0 ? journal.append(records) : undefined, room }
  } catch (error) {
    room.release()
    throw error
  }
}

/** Counts what became of each event, once it is durable. */
function settle(
  { admission, counters }: IngestParts,
  protocol: ProtocolName,
  { judged, stored }: { judged: Judged; stored: Stored },
): void {
  const { normalised, kept } = judged
  const { events, rejections, dropped } = normalised
  const { fresh, diverted } = stored
  admission.charge(fresh)
  const accepted = fresh.length
  const duplicates = kept.length - accepted
  const quotaDropped = events.length - kept.length
  const outcome = { accepted, duplicates, dropped, quotaDropped, diverted, rejections }
  counters.addOutcome(protocol, outcome)
}

function assertOrigin(project: Project, request: IngestRequest): void {
  if (!project.origins) return
  const origin = request.headers.get('origin')?.toLowerCase()
  if (origin === undefined || project.origins.includes(origin)) return
  throw new IngestError('origin_not_allowed', `origin ${origin} may not send for this project`)
}

const toCode = (error: unknown) => (error instanceof IngestError ? error.code : 'internal_error')

/** What is not a refusal is a fault of ours: it is logged, and the client hears no more than that. */
function toRefusal(error: unknown, { id, path }: Incoming, log: Log): IngestError {
  if (error instanceof IngestError) return error
  log.error({ id, path, error: error instanceof Error ? error.stack : String(error) }, 'fault')
  return new IngestError('internal_error', 'the server failed; the request may be sent again')
}
