import { IngestError } from '../../core/errors.ts'
import type { CanonicalEvent } from '../../core/event.ts'
import type {
  Contract,
  IngestRequest,
  NormaliseContext,
  Normalised,
  Outcome,
  Reply,
  Senders,
  Submission,
} from '../../core/protocol.ts'
import type { SenderHold } from '../../core/sender-hold.ts'
import type { EventCounters } from '../../observability/event-counters.ts'
import type { Admission, QuotaVerdict } from '../admission.ts'
import { discard } from '../decode/payload.ts'
import type { Claim } from '../dedup/claim.ts'
import type { Dedup } from '../dedup/dedup.ts'
import type { AdmissionTicket } from '../load-shedding/admission-ticket.ts'
import { toShownRequest } from '../privacy/privacy.ts'
import {
  type ObservedRequest,
  type SettleOptions,
  type Stored,
  type StoreOptions,
  settle,
  store,
} from '../store.ts'
import type { BodyThread, RemoteWork } from './thread.ts'
import type { Slice, StoredBody } from './work.ts'

/**
 * The pipeline for a large body: the same steps in the same order, but the pure ones run on the body
 * thread, and the events are stored slice by slice, so that none of it holds the serving thread. If a
 * slice cannot be stored, the request is refused and the slices before it stay: a retry finds their
 * events as duplicates.
 */
export function createLargeIngest(options: LargeIngestOptions): LargeIngest {
  return (contract, incoming, { body, ticket, onShown }) =>
    ticket.workAlone(async () => {
      assertNotHeld(options.hold, incoming)
      const work = options.thread.open(contract.key, incoming, body)
      const totals = createTotals()
      try {
        return await run(options, contract, { incoming, ticket, work, totals, onShown })
      } catch (error) {
        const { code } = error instanceof IngestError ? error : internal
        if (isCostly(code)) options.hold.hold(incoming.clientIp, Date.now())
        const refused = totals.received - totals.settled
        if (refused > 0) options.counters.addRefused(contract.name, refused, code)
        throw error
      } finally {
        work.end()
      }
    })
}

export type LargeIngest = <S extends Submission>(
  contract: Contract<S>,
  incoming: ObservedRequest,
  large: {
    body: Uint8Array
    ticket: Pick<AdmissionTicket, 'reserveWork' | 'workAlone'>
    /** Gets the request as operators may see it, once it is known in whose name it is sent. */
    onShown(request: ObservedRequest): void
  },
) => Promise<Reply>

export type LargeIngestOptions = StoreOptions &
  SettleOptions & {
    thread: BodyThread
    hold: SenderHold
    admission: Admission
    dedup: Pick<Dedup, 'claim'>
    counters: Pick<
      EventCounters,
      'addCommitted' | 'addOutcome' | 'addAltered' | 'addOfProject' | 'addRefused'
    >
    dedupIdentity: NormaliseContext['dedupIdentity']
    lineBytesMax(): number
    skewMsMin: number
  }

/** Throws `rate_limited` for a sender whose bodies took too long. */
export function assertNotHeld(hold: SenderHold, { clientIp, receivedMs }: IngestRequest): void {
  const retryAfterSeconds = hold.waitSeconds(clientIp, receivedMs)
  if (retryAfterSeconds === 0) return
  const message = 'a body of this address took the server too long'
  throw new IngestError('rate_limited', message, { retryAfterSeconds })
}

const internal = { code: 'internal_error' } as const
const isCostly = (code: string) => code === 'body_too_slow' || code === 'too_many_names'

/** `settled` counts the events whose outcome is final. */
type Totals = { received: number; settled: number; stored: StoredBody }

const createTotals = (): Totals => ({
  received: 0,
  settled: 0,
  stored: { accepted: 0, duplicates: 0, quotaLimited: [], overQuota: [] },
})

type Running = {
  incoming: ObservedRequest
  ticket: Pick<AdmissionTicket, 'reserveWork'>
  work: RemoteWork
  totals: Totals
  onShown(request: ObservedRequest): void
}

async function run<S extends Submission>(
  options: LargeIngestOptions,
  contract: Contract<S>,
  { incoming, ticket, work, totals, onShown }: Running,
): Promise<Reply> {
  const { workBytes } = await work.unwrap()
  await ticket.reserveWork(workBytes)
  const submission = await work.parse()
  totals.received = submission.received
  const senders = await options.admission.admit(contract.name, submission, incoming)
  // The body thread applies the rules to the events.
  const shown = toShownRequest(senders, incoming)
  onShown(shown)
  const { dedupIdentity, skewMsMin } = options
  const lineBytesMax = options.lineBytesMax()
  const context = { ...senders, dedupIdentity, lineBytesMax, skewMsMin }
  let slice = await work.normalise(context)
  for (;;) {
    // The body thread encodes the next slice while this one is written.
    const next = slice.isLast ? undefined : work.next()
    next?.catch(() => {}) // It is not awaited if this slice cannot be stored.
    add(totals, slice, await storeSlice(options, contract, { incoming: shown, senders, slice }))
    if (next === undefined) break
    slice = await next
  }
  return await work.reply(totals.stored)
}

function add(totals: Totals, { normalised }: Slice, outcome: Outcome): void {
  const { events, rejections, moreRejected = 0, duplicates, quotaLimited, overQuota } = outcome
  const { stored } = totals
  totals.settled += normalised.events.length + normalised.dropped + rejections.length + moreRejected
  totals.stored = {
    accepted: stored.accepted + events.length,
    duplicates: stored.duplicates + duplicates,
    quotaLimited: [...new Set([...stored.quotaLimited, ...quotaLimited])],
    overQuota: [...stored.overQuota, ...overQuota.map(toSendable)],
  }
}

/** A line that is discarded cannot pass to another thread. */
const toSendable = ({ encoded: _, ...event }: CanonicalEvent) => event as CanonicalEvent

async function storeSlice<S extends Submission>(
  options: LargeIngestOptions,
  contract: Contract<S>,
  { incoming, senders, slice }: { incoming: ObservedRequest; senders: Senders; slice: Slice },
): Promise<Outcome> {
  const { admission, dedup, counters, journal } = options
  const normalised = toNormalised(slice)
  let quota: QuotaVerdict | undefined
  let claim: Claim | undefined
  let stored: Stored | undefined
  try {
    quota = await admission.reserve(contract.name, senders, normalised)
    const dedupKeys = quota.kept.map((event) => event.dedupKey)
    claim = await dedup.claim(dedupKeys, normalised.payloadKey)
    const claimed = { incoming, normalised, quota, claim, decodedBytes: slice.lines.length / 2 }
    stored = store({ admission, journal }, contract.name, claimed)
    discard(slice.lines)
    await stored.durable
    quota.settle(stored.newEvents)
    counters.addCommitted(contract.name, stored.newEvents.length)
    await claim.commit()
    return settle(options, contract.name, { claimed, stored })
  } catch (error) {
    claim?.release()
    throw error
  } finally {
    stored?.reservation.release()
    quota?.release()
  }
}

/** Gives each event its line. */
function toNormalised({ normalised, lines, ends }: Slice): Normalised {
  let start = 0
  const events = normalised.events.map((event, index): CanonicalEvent => {
    const encoded = lines.subarray(start, ends[index])
    start = ends[index]! + 1
    return { ...event, encoded }
  })
  return { ...normalised, events }
}
