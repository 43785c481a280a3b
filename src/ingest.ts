import type { Admission } from './admission.ts'
import type { Claim } from './admit/claim.ts'
import type { Dedup } from './admit/dedup.ts'
import type { Pace } from './admit/pace.ts'
import type { Room, Ticket } from './admit/room.ts'
import { IngestError } from './core/errors.ts'
import type { CanonicalEvent } from './core/event.ts'
import type { Log } from './core/log.ts'
import type {
  Contract,
  IngestRequest,
  Normalised,
  Project,
  Reply,
  Submission,
} from './core/protocol.ts'
import { decodeBody } from './decode/body.ts'
import type { Reservation } from './journal/budget.ts'
import type { Journal } from './journal/journal.ts'
import { toDeadLetter, toRecord } from './normalise/line.ts'
import type { Meter } from './ops/meter.ts'
import type { Projects } from './projects/projects.ts'

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
  pace: Pick<Pace, 'take'>
  projects: Pick<Projects, 'find'>
  admission: Admission
  dedup: Dedup
  journal: Pick<Journal, 'reserve' | 'append'>
  meter: Meter
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
 * is not there yet: with nothing shared between nodes that is the body and the commit.
 */
export function createIngest(parts: IngestParts): Ingest {
  return async function ingest(contract, incoming) {
    let ticket: Ticket | undefined
    try {
      parts.assertOpen()
      ticket = parts.room.enter(incoming.announcedBytes)
      return await take(parts, contract, { incoming, ticket })
    } catch (error) {
      return contract.refuse(toRefusal(error, incoming, parts.log), incoming)
    } finally {
      ticket?.leave()
    }
  }
}

type Reading = { incoming: Incoming; ticket: Ticket }

/** From bytes to the reply: 200 is said only once what it acknowledges is synced. */
async function take<S extends Submission>(
  parts: IngestParts,
  contract: Contract<S>,
  { incoming, ticket }: Reading,
): Promise<Reply> {
  const bytes = await incoming.read(contract.decode.bodyBytesMax, ticket)
  const turn = parts.pace.take()
  if (turn) await turn
  const grow = (more: number) => ticket.grow(more)
  const makeRoom = (more: number) => ticket.makeRoom(more)
  const { decode: rules } = contract
  const opened = decodeBody({ request: incoming, body: bytes, rules, grow, makeRoom })
  const body = opened instanceof Promise ? await opened : opened
  const submission = contract.parse(incoming, body)
  try {
    const project = parts.projects.find(contract.name, submission.credential)
    assertOrigin(project, incoming)
    const rate = parts.admission.takeRate(contract.name, project, incoming)
    if (rate) await rate
    const { dedupIdentity, lineBytesMax } = parts
    const context = { project, dedupIdentity, lineBytesMax }
    const normalised = contract.normalise(incoming, submission, context)
    const quota = parts.admission.underQuota(normalised.events)
    const { kept, limited } = quota instanceof Promise ? await quota : quota
    const claiming = parts.dedup.claim(kept.map((event) => event.marker))
    const claim = claiming instanceof Promise ? await claiming : claiming
    const judged = { incoming, project, normalised, kept, claim, decodedBytes: body.decodedBytes }
    const fresh = await store(parts, contract, judged)
    const { rejections } = normalised
    const duplicates = kept.length - fresh.length
    const outcome = { events: fresh, rejections, duplicates, quotaLimited: limited }
    return contract.reply(incoming, submission, outcome)
  } catch (error) {
    parts.meter.refused(contract.name, submission.received, toCode(error))
    throw error
  }
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

/** Commits what is new, and counts what became of all. Claims of what is refused are released: it may be sent again. */
async function store<S extends Submission>(
  parts: IngestParts,
  contract: Contract<S>,
  { incoming, project, normalised, kept, claim, decodedBytes }: Judged,
): Promise<CanonicalEvent[]> {
  const { admission, journal, meter } = parts
  const { events, rejections, dropped } = normalised
  const fresh = kept.filter((_, index) => claim.isFresh(index))
  let diverted = 0
  let room: Reservation | undefined
  try {
    const count = fresh.length + rejections.length
    room = journal.reserve(decodedBytes * encodedBytesPerDecoded + count * recordOverheadBytes)
    diverted = admission.divert(fresh, incoming.receivedMs)
    const records = fresh.map(toRecord)
    for (const rejection of rejections) {
      const rejected = { rejection, project: project.id, protocol: contract.name }
      records.push(toDeadLetter({ ...rejected, request: incoming }))
    }
    if (count > 0) await journal.append(records)
  } catch (error) {
    claim.release()
    throw error
  } finally {
    room?.release()
  }
  meter.committed(contract.name, fresh.length)
  const marking = claim.commit()
  if (marking) await marking
  admission.charge(fresh)
  const duplicates = kept.length - fresh.length
  const quotaDropped = events.length - kept.length
  const accepted = fresh.length
  const settlement = { accepted, duplicates, dropped, quotaDropped, diverted, rejections }
  meter.settled(contract.name, settlement)
  return fresh
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
