import { IngestError } from '../core/errors.ts'
import type { DedupKey } from '../core/event.ts'
import type { IngestRequest, Senders, Submission } from '../core/protocol.ts'
import type { Admission } from '../ingest/admission.ts'
import { decodeSmallBody, smallBodyBytesMax } from '../ingest/decode/body.ts'
import { createIngest, type Incoming, type IngestOptions } from '../ingest/pipeline.ts'
import type { IngestObserver } from '../ingest/store.ts'
import type { Projects } from '../projects/projects.ts'
import type { Parcel } from './parcel.ts'

/** The fate of an event that was sent again; in a dry run, the fate that it would have. */
export type ResendOutcome = {
  verdict: Verdict | `would_be_${'stored' | 'duplicate' | 'rejected'}`
  reason: string | null
  message: string | null
  event_uuid: string | null
  request_id: string | null
}

type Verdict = 'stored' | 'duplicate' | 'rejected' | 'limited' | 'failed'

export type Resender = {
  /** Sends the event through the pipeline. */
  send(parcel: Parcel): Promise<ResendOutcome>
  /** Runs the steps that do not store anything. */
  test(parcel: Parcel): Promise<ResendOutcome>
}

export type ResenderOptions = {
  /** Those of the server's own pipeline: journal, dedup keys, quotas and counters are shared. */
  ingestOptions: IngestOptions
  projects: Pick<Projects, 'byId' | 'findByApp'>
  nextId(): string
}

/**
 * Events of operators go through the pipeline as any others, with three differences: the project is
 * the one that an operator names, because its keys are not known here; rates of senders do not
 * apply; and an event that is rejected again leaves no second dead letter.
 */
export function createResender(options: ResenderOptions): Resender {
  return {
    send: (parcel) => send(options, parcel),
    test: (parcel) => test(options, parcel),
  }
}

async function send(options: ResenderOptions, parcel: Parcel): Promise<ResendOutcome> {
  const { ingestOptions } = options
  const incoming = toIncoming(parcel, options.nextId())
  let outcome: ResendOutcome = { ...unknown, request_id: incoming.id }
  const observer: IngestObserver = {
    settled(contract, claimed, settled) {
      ingestOptions.observer?.settled(contract, claimed, settled)
      const { newEvents, overQuota } = settled
      const [rejection] = claimed.normalised.rejections
      const event = claimed.normalised.events[0]
      const verdict = toVerdict({ isNew: newEvents.length > 0, isOver: overQuota.length > 0 })
      const event_uuid = event?.row.uuid ?? null
      outcome = rejection
        ? { ...outcome, verdict: 'rejected', reason: rejection.code, message: rejection.message }
        : { ...outcome, ...verdict, event_uuid }
    },
    refused(contract, request, refusal) {
      ingestOptions.observer?.refused(contract, request, refusal)
      outcome = { ...outcome, ...toFailure(refusal.error) }
    },
  }
  const ingest = createIngest({
    ...ingestOptions,
    observer,
    hold: noHold,
    admission: toAdmission(options, parcel),
  })
  await ingest(parcel.contract, incoming)
  return outcome
}

const unknown: ResendOutcome = {
  ...{ verdict: 'failed', reason: 'internal_error', message: 'the outcome is not known' },
  ...{ event_uuid: null, request_id: null },
}

/** The address of an operator is never held back for what others sent. */
const noHold = { waitSeconds: () => 0, hold() {} }

function toVerdict({ isNew, isOver }: { isNew: boolean; isOver: boolean }) {
  if (isNew) return { verdict: 'stored', reason: null, message: null } as const
  if (isOver) {
    const message = 'a quota of the project is used up'
    return { verdict: 'limited', reason: 'quota_dropped', message } as const
  }
  const message = 'the event is stored already'
  return { verdict: 'duplicate', reason: 'duplicate', message } as const
}

/** A report that was repaired in another way before is stored already. */
function toFailure({ code, message, status }: IngestError) {
  if (code === 'idempotency_key_reused') {
    const stored = 'the event is stored already, with other contents'
    return { verdict: 'duplicate', reason: code, message: stored } as const
  }
  const verdict = status >= 500 || status === 429 ? 'failed' : 'rejected'
  return { verdict, reason: code, message } as const
}

/** Decides as the pipeline does, up to the claim of the dedup keys, which is given back. */
async function test(options: ResenderOptions, parcel: Parcel): Promise<ResendOutcome> {
  const { dedup, dedupIdentity, lineBytesMax, skewMsMin } = options.ingestOptions
  const { contract } = parcel
  const outcome: ResendOutcome = { ...unknown, verdict: 'would_be_rejected' }
  try {
    const request = toIncoming(parcel, '')
    const submission = contract.parse(request, await decode(parcel, request))
    const settings = { dedupIdentity, lineBytesMax: lineBytesMax(), skewMsMin }
    const context = { ...toSenders(options, parcel, submission), ...settings }
    const { events, rejections, payloadKey } = contract.normalise(request, submission, context)
    const [rejection] = rejections
    if (rejection) return { ...outcome, reason: rejection.code, message: rejection.message }
    const dedupKeys: (DedupKey | undefined)[] = events.map((event) => event.dedupKey)
    const claim = await dedup.claim(dedupKeys, payloadKey)
    const isNew = claim.isNew(0)
    claim.release()
    const { verdict, ...why } = toVerdict({ isNew, isOver: false })
    const event_uuid = events[0]?.row.uuid ?? null
    return { ...outcome, ...why, verdict: isNew ? 'would_be_stored' : toWould(verdict), event_uuid }
  } catch (error) {
    if (!(error instanceof IngestError)) throw error
    const { verdict, ...why } = toFailure(error)
    return { ...outcome, ...why, verdict: toWould(verdict) }
  }
}

const toWould = (verdict: Verdict) =>
  verdict === 'duplicate' ? 'would_be_duplicate' : 'would_be_rejected'

async function decode(parcel: Parcel, request: IngestRequest) {
  const { decode: rules } = parcel.contract
  const ticket = { charge() {}, reserveWork: () => undefined }
  const decoded = await decodeSmallBody({ request, body: parcel.body, rules, ticket })
  if (decoded !== undefined) return decoded
  const message = `an event that is sent again is at most ${smallBodyBytesMax} bytes`
  throw new IngestError('event_too_large', message)
}

function toAdmission(options: ResenderOptions, parcel: Parcel): Admission {
  const { admission } = options.ingestOptions
  return {
    admit: (_, submission) => toSenders(options, parcel, submission),
    async reserve(contract, senders, normalised) {
      const own = { ...normalised, rejections: [], moreRejected: undefined }
      return await admission.reserve(contract, senders, own)
    },
    // Its time of receipt is long ago, so the present rate of its key says nothing.
    divert: () => 0,
  }
}

/** Without a projects file each app of telemetry is a project of its own. */
function toSenders(
  { projects }: ResenderOptions,
  { project: id }: Parcel,
  { apps }: Submission,
): Senders {
  const project = projects.byId(id)
  if (apps === undefined) return { project }
  const found = apps.flatMap((app) => {
    const byFile = projects.findByApp(app, null)
    if (byFile === undefined) return []
    // A project that requires a key is the one that the dead letter names.
    return [[app, id !== '' && 'code' in byFile ? project : byFile] as const]
  })
  return found.length === 0 ? { project } : { project, apps: new Map(found) }
}

function toIncoming({ body, headers, path, receivedMs, clientIp }: Parcel, id: string): Incoming {
  return {
    ...{ id, method: 'POST', path, receivedMs, clientIp },
    query: { get: () => null },
    headers: new Headers(headers),
    announcedBytes: body.length,
    read: async () => body,
  }
}
