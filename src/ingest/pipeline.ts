import { IngestError, toRequestError } from '../core/errors.ts'
import { jsonGuard } from '../core/json-guard.ts'
import type { Log } from '../core/log.ts'
import type {
  Contract,
  IngestRequest,
  NormaliseContext,
  Normalised,
  Reply,
  Senders,
  Submission,
} from '../core/protocol.ts'
import type { SenderHold } from '../core/sender-hold.ts'
import type { Journal } from '../journal/journal.ts'
import type { EventCounters } from '../observability/event-counters.ts'
import type { Admission, QuotaVerdict } from './admission.ts'
import { decodeSmallBody } from './decode/body.ts'
import { assertFits } from './decode/payload.ts'
import type { Claim } from './dedup/claim.ts'
import type { Dedup } from './dedup/dedup.ts'
import type { Enrich } from './enrich/enrich.ts'
import { assertNotHeld, createLargeIngest } from './large-bodies/ingest-large.ts'
import type { BodyThread } from './large-bodies/thread.ts'
import type { AdmissionTicket, MemoryAdmission } from './load-shedding/admission-ticket.ts'
import type { TurnScheduler } from './load-shedding/turn-scheduler.ts'
import { applyPrivacy, toShownRequest } from './privacy/privacy.ts'
import { SenderRefusal } from './senders.ts'
import { type IngestObserver, type ObservedRequest, type Stored, settle, store } from './store.ts'

/**
 * The pipeline: takes a request of any contract and returns its reply. Acknowledged events are on
 * disk. Without Redis only the body and the commit are awaited. It is one async function: measured,
 * a chain of awaited functions takes 5 % more CPU.
 */
export function createIngest(options: IngestOptions): Ingest {
  const { memory, scheduler, hold, admission, dedup, counters } = options
  const ingestLarge = createLargeIngest(options)
  return async function ingest(contract, incoming) {
    let ticket: AdmissionTicket | undefined
    let quota: QuotaVerdict | undefined
    let claim: Claim | undefined
    let stored: Stored | undefined
    let received = 0
    let bytes: Uint8Array | undefined
    let shown: ObservedRequest = incoming
    try {
      options.assertOpen()
      assertNotHeld(hold, incoming)
      contract.assertHead?.(incoming)
      // Before the memory: a retry would not help.
      assertFits(incoming.announcedBytes, contract.decode.bodyBytesMax)
      ticket = memory.admit(incoming.announcedBytes)
      bytes = await incoming.read(contract.decode.bodyBytesMax, ticket)
      const turn = scheduler.take()
      if (turn) await turn
      const decoding = decodeSmallBody({
        request: incoming,
        body: bytes,
        rules: contract.decode,
        ticket,
      })
      noteCollision(hold, incoming)
      const body = decoding instanceof Promise ? await decoding : decoding
      const large = { body: bytes, ticket, onShown: (view: ObservedRequest) => (shown = view) }
      if (body === undefined) return await ingestLarge(contract, incoming, large)
      const submission = contract.parse(incoming, body)
      received = submission.received
      const admitting = admission.admit(contract.name, submission, incoming)
      const senders = admitting instanceof Promise ? await admitting : admitting
      shown = toShownRequest(senders, incoming)
      const read = contract.normalise(incoming, submission, toContext(options, senders))
      const normalised = options.enrich?.(read, senders) ?? read
      noteCollision(hold, incoming)
      applyPrivacy(senders, normalised)
      const reserving = admission.reserve(contract.name, senders, normalised)
      quota = reserving instanceof Promise ? await reserving : reserving
      const dedupKeys = quota.kept.map((event) => event.dedupKey)
      const claiming = dedup.claim(dedupKeys, normalised.payloadKey)
      claim = claiming instanceof Promise ? await claiming : claiming
      const claimed = { incoming: shown, normalised, quota, claim, decodedBytes: body.decodedBytes }
      stored = store(options, contract.name, claimed)
      if (stored.durable) await stored.durable
      quota.settle(stored.newEvents)
      counters.addCommitted(contract.name, stored.newEvents.length)
      const marking = claim.commit()
      if (marking) await marking
      const outcome = settle(options, contract.name, { claimed, stored })
      const { refusal } = normalised
      const reply = refusal
        ? contract.refuse(toRequestError(refusal), incoming)
        : contract.reply(incoming, submission, outcome)
      return withReason(reply, normalised)
    } catch (error) {
      noteCollision(hold, incoming)
      // Release the claim so that a retry is accepted. No-op after `commit`.
      claim?.release()
      if (error instanceof SenderRefusal) shown = toShownRequest(error.senders, incoming)
      if (received > 0) counters.addRefused(contract.name, received, toCode(error))
      const refusal = toIngestError(error, incoming, options.log)
      const body = shown === incoming ? bytes : undefined
      const refused = { error: refusal, events: received, body }
      options.observer?.refused(contract.name, shown, refused)
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
  hold: SenderHold
  thread: BodyThread
  admission: Admission
  dedup: Pick<Dedup, 'claim'>
  journal: Pick<Journal, 'reserve' | 'append'>
  counters: Pick<
    EventCounters,
    'addCommitted' | 'addOutcome' | 'addAltered' | 'addOfProject' | 'addRefused'
  >
  log: Pick<Log, 'error'>
  dedupIdentity: 'uuid' | 'contract'
  /** The largest line of a recording. It may shrink when a sink learns its limit. */
  lineBytesMax(): number
  skewMsMin: number
  /** Absent if no project can want it. A step that removes addresses comes after it. */
  enrich?: Enrich | undefined
  /** Undefined without a console. */
  observer?: IngestObserver | undefined
}

function toContext(options: IngestOptions, { project, apps }: Senders): NormaliseContext {
  const { dedupIdentity, skewMsMin } = options
  return { project, apps, dedupIdentity, lineBytesMax: options.lineBytesMax(), skewMsMin }
}

/** Names the reason of a refusal for the log: every event of the request was rejected. */
function withReason(reply: Reply, { refusal, rejections }: Normalised): Reply {
  const reason = (refusal ?? rejections[0])?.code
  return reply.status >= 400 && reason !== undefined ? { ...reply, reason } : reply
}

/** The work until now was synchronous, so a collision is one of this request. */
function noteCollision(hold: SenderHold, { clientIp, receivedMs }: Incoming): void {
  if (jsonGuard.takeCollision()) hold.hold(clientIp, receivedMs)
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
