import type { Admission } from './admission.ts'
import type { Claim } from './admit/claim.ts'
import type { Dedup } from './admit/dedup.ts'
import type { Room, Ticket } from './admit/room.ts'
import { IngestError } from './core/errors.ts'
import type { Rejection } from './core/event.ts'
import type { Log } from './core/log.ts'
import type { Contract, IngestRequest, Project, Reply, Submission } from './core/protocol.ts'
import type { JournalRecord } from './core/record.ts'
import { decodeBody } from './decode/body.ts'
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

/** The pipeline: a request of any contract in, its reply out, and what it acknowledges is on disk. */
export function createIngest(parts: IngestParts): Ingest {
  return async function ingest(contract, incoming) {
    try {
      parts.assertOpen()
      const ticket = parts.room.enter(incoming.announcedBytes)
      try {
        return await take(parts, contract, { incoming, ticket })
      } finally {
        ticket.leave()
      }
    } catch (error) {
      return contract.refuse(toRefusal(error, incoming, parts.log), incoming)
    }
  }
}

type Reading = { incoming: Incoming; ticket: Ticket }

/** Everything that may refuse the request before one of its events is judged. */
async function take<S extends Submission>(
  parts: IngestParts,
  contract: Contract<S>,
  { incoming, ticket }: Reading,
): Promise<Reply> {
  const bytes = await incoming.read(contract.decode.bodyBytesMax, ticket)
  const grow = (more: number) => ticket.grow(more)
  const body = await decodeBody({ request: incoming, body: bytes, rules: contract.decode, grow })
  const submission = contract.parse(incoming, body)
  try {
    const project = parts.projects.find(contract.name, submission.credential)
    assertOrigin(project, incoming)
    await parts.admission.takeRate(contract.name, project, incoming)
    const { decodedBytes } = body
    return await store(parts, contract, { incoming, submission, project, decodedBytes })
  } catch (error) {
    parts.meter.refused(contract.name, submission.received, toCode(error))
    throw error
  }
}

type Admitted<S> = {
  incoming: Incoming
  submission: S
  project: Project
  decodedBytes: number
}

/** From raw events to the reply: 200 is said only once what it acknowledges is synced. */
async function store<S extends Submission>(
  parts: IngestParts,
  contract: Contract<S>,
  { incoming, submission, project, decodedBytes }: Admitted<S>,
): Promise<Reply> {
  const { admission, dedupIdentity, lineBytesMax } = parts
  const context = { project, dedupIdentity, lineBytesMax }
  const { events, rejections, dropped } = contract.normalise(incoming, submission, context)
  const { kept, limited } = await admission.underQuota(events)
  const claim = await parts.dedup.claim(kept.map((event) => event.marker))
  const fresh = kept.filter((_, index) => claim.isFresh(index))
  let diverted = 0
  const count = fresh.length + rejections.length
  const toLetter = (rejection: Rejection) =>
    toDeadLetter({ rejection, project: project.id, protocol: contract.name, request: incoming })
  await commit(parts, claim, {
    bytes: decodedBytes * encodedBytesPerDecoded + count * recordOverheadBytes,
    encode() {
      diverted = admission.divert(fresh, incoming.receivedMs)
      return [...fresh.map(toRecord), ...rejections.map(toLetter)]
    },
  })
  parts.meter.committed(contract.name, fresh.length)
  await claim.commit()
  admission.charge(fresh)
  const duplicates = kept.length - fresh.length
  const quotaDropped = events.length - kept.length
  parts.meter.settled(contract.name, {
    accepted: fresh.length,
    duplicates,
    dropped,
    quotaDropped,
    diverted,
    rejections,
  })
  return contract.reply(incoming, submission, {
    events: fresh,
    rejections,
    duplicates,
    quotaLimited: limited,
  })
}

type Commit = { bytes: number; encode(): JournalRecord[] }

/** Claims are released when nothing was committed: a refused request is accepted when it is sent again. */
async function commit(parts: IngestParts, claim: Claim, { bytes, encode }: Commit): Promise<void> {
  try {
    const room = parts.journal.reserve(bytes)
    try {
      const records = encode()
      if (records.length > 0) await parts.journal.append(records)
    } finally {
      room.release()
    }
  } catch (error) {
    claim.release()
    throw error
  }
}

function assertOrigin(project: Project, request: IngestRequest): void {
  const origin = request.headers.get('origin')?.toLowerCase()
  if (!project.origins || origin === undefined || project.origins.includes(origin)) return
  throw new IngestError('origin_not_allowed', `origin ${origin} may not send for this project`)
}

const toCode = (error: unknown) => (error instanceof IngestError ? error.code : 'internal_error')

/** What is not a refusal is a fault of ours: it is logged, and the client hears no more than that. */
function toRefusal(error: unknown, { id, path }: Incoming, log: Log): IngestError {
  if (error instanceof IngestError) return error
  log.error({ id, path, error: error instanceof Error ? error.stack : String(error) }, 'fault')
  return new IngestError('internal_error', 'the server failed; the request may be sent again')
}
