import { toRecord } from '../../contracts/encode.ts'
import { cutBytes } from '../../contracts/shared/text.ts'
import { type CodeCounts, toRequestError } from '../../core/errors.ts'
import type { CanonicalEvent, Rejection } from '../../core/event.ts'
import { deadLetterRawBytesMax, deadLettersMax } from '../../core/limits.ts'
import type {
  Contract,
  IngestRequest,
  NormaliseContext,
  Normalised,
  Outcome,
  Reply,
  Submission,
} from '../../core/protocol.ts'
import { toLineText } from '../../core/record.ts'
import { assertFilled, unwrapBody } from '../decode/body.ts'
import { parseLargeJson, toChargedBytes } from '../decode/parse-json.ts'
import { assertFits, discard, type Payload, payloadBytes, toText } from '../decode/payload.ts'
import type { Enrich } from '../enrich/enrich.ts'
import { applyPrivacy } from '../privacy/privacy.ts'

/**
 * The pure part of the pipeline for one large body, in steps: between them the serving thread takes
 * memory, finds the project and its rate, and stores one slice after the other. All steps throw
 * what the same part of the pipeline throws for a small body.
 */
export type BodyWork = {
  /** Removes the layers and measures the JSON, before memory for its values is taken. */
  unwrap(): BodySize
  parse(): Submission
  /** The first slice. */
  normalise(context: NormaliseContext, enrich?: Enrich): Slice
  next(): Slice
  reply(stored: StoredBody): Reply
}

/** The result on the serving thread: how many events it stored, and which ones quotas dropped. */
export type StoredBody = Pick<Outcome, 'duplicates' | 'quotaLimited' | 'overQuota'> & {
  accepted: number
}

/** `workBytes` is the memory that the following steps need. */
export type BodySize = { decodedBytes: number; workBytes: number }

/**
 * Some events of a body with their lines. The first slice has all that concerns the body as a
 * whole. Only plain data, because it passes from thread to thread.
 */
export type Slice = {
  normalised: Normalised
  /** The lines of `normalised.events` in UTF-8. */
  lines: Uint8Array<ArrayBuffer>
  /** Where each line ends in `lines`. */
  ends: number[]
  isLast: boolean
}

// biome-ignore lint/suspicious/noExplicitAny: each contract has its own type of submission.
type AnyContract = Contract<any>

export function createBodyWork(
  contract: AnyContract,
  request: IngestRequest,
  wire: Uint8Array,
): BodyWork {
  let body: Payload = wire
  let decodedBytes = 0
  let submission: Submission | undefined
  /** The submission without its events. */
  let facts: Submission | undefined
  let normalised: Normalised | undefined
  let at = 0

  function next(): Slice {
    const { events } = normalised!
    const from = at
    const lines: string[] = []
    for (let chars = 0; at < events.length && lines.length < sliceEventsMax; at += 1) {
      if (chars >= sliceCharsMin) break
      const line = toLineText(toRecord(events[at]!).line)
      chars += line.length
      lines.push(line)
    }
    const isLast = at >= events.length
    const sliced =
      from === 0 ? toPlain(normalised!) : { ...noFaults, payloadKey: normalised!.payloadKey }
    const bytes = new TextEncoder().encode(lines.map((line) => `${line}\n`).join(''))
    return {
      normalised: { ...sliced, events: events.slice(from, at).map(toHead) },
      lines: bytes,
      ends: toEnds(bytes),
      isLast,
    }
  }

  return {
    unwrap() {
      const { bodyBytesMax: bytesMax, sizeShare } = contract.decode
      const ticket = { charge() {} }
      const payload = unwrapBody({ request, body: wire, rules: contract.decode, bytesMax, ticket })
      assertFilled(payload)
      decodedBytes = payloadBytes(payload)
      assertFits(decodedBytes, bytesMax)
      const text = toText(payload)
      for (const used of [payload, body]) discard(used)
      body = text
      return { decodedBytes, workBytes: toChargedBytes(text, decodedBytes, sizeShare) }
    },
    parse() {
      const value = parseLargeJson(toText(body))
      body = ''
      submission = contract.parse(request, { value, decodedBytes })
      const { credential, received, apps, fault } = submission!
      return { credential, received, fault, ...(apps ? { apps } : {}) }
    },
    normalise(context, enrich) {
      const read: Normalised = contract.normalise(request, submission, context)
      normalised = enrich?.(read, context) ?? read
      forgetProperties(normalised.events)
      // Last of what changes rows: what is derived from an address must have been.
      applyPrivacy(context, normalised)
      facts = { ...submission!, ...noEvents }
      submission = undefined
      return next()
    },
    next,
    reply({ accepted, ...stored }) {
      const { rejections, moreRejected, refusal } = normalised!
      if (refusal) {
        const { code } = refusal
        return { ...contract.refuse(toRequestError(refusal), request), reason: code }
      }
      const outcome: Outcome = {
        ...stored,
        // Replies read their number only.
        events: new Array(accepted),
        rejections,
        moreRejected: countAll(moreRejected),
      }
      return contract.reply(request, facts, outcome)
    },
  }
}

/** Storing so many events takes the serving thread some milliseconds. */
const sliceEventsMax = 1000
/** About a commit of the journal. A single line may be as large. */
const sliceCharsMin = 2 * 1024 * 1024

const noFaults = { rejections: [], dropped: 0 }
const noEvents = { events: undefined, event: undefined }

/** The bytes of a newline occur in no line: JSON escapes it. */
function toEnds(lines: Uint8Array): number[] {
  const ends: number[] = []
  for (let end = lines.indexOf(newline); end >= 0; end = lines.indexOf(newline, end + 1)) {
    ends.push(end)
  }
  return ends
}

const newline = 10

/** The columns that the serving thread reads: those of the journal record and of the quota. */
function toHead(event: CanonicalEvent): CanonicalEvent {
  const { kind, row } = event
  const { uuid, received_at } = row
  if (kind === 'link') {
    const { project_id, event_type } = row
    return { ...event, row: { uuid, received_at, project_id, event_type } } as CanonicalEvent
  }
  const { project } = row
  if (kind === 'recording')
    return { ...event, row: { uuid, received_at, project } } as CanonicalEvent
  const { source, event: name } = row
  return { ...event, row: { uuid, received_at, project, source, event: name } } as CanonicalEvent
}

/** Nothing reads the objects any more, and the memory of the body is needed for its lines. */
function forgetProperties(events: readonly CanonicalEvent[]): void {
  for (const event of events) if (event.kind === 'event') event.properties = undefined
}

/** More than dead letters and counters need; telemetry lists all of its faults. */
const listedMax = 1000

/**
 * The rejections as plain data: a number that is kept as `JSON.rawJSON` cannot pass to another
 * thread. Of many, the last ones are only counted.
 */
function toPlain(normalised: Normalised): Normalised {
  const { rejections, refusal: _, ...others } = normalised
  const moreRejected = { ...normalised.moreRejected }
  for (const { code } of rejections.slice(listedMax)) {
    moreRejected[code] = (moreRejected[code] ?? 0) + 1
  }
  const listed = rejections.slice(0, listedMax).map(({ raw, ...rejection }, index): Rejection => {
    if (index > 2 * deadLettersMax) return { ...rejection, raw: undefined, rawText: '' }
    const toRawText = () => cutBytes(JSON.stringify(raw) ?? 'null', deadLetterRawBytesMax)
    return { ...rejection, raw: undefined, rawText: rejection.rawText ?? toRawText() }
  })
  return { ...others, rejections: listed, moreRejected }
}

const countAll = (counts: CodeCounts = {}) =>
  Object.values(counts).reduce((sum, events) => sum + events, 0)
