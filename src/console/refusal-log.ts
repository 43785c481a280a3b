import { constants, gunzipSync } from 'node:zlib'
import { copyText } from '../core/copy-text.ts'
import type { IngestError } from '../core/errors.ts'
import type { ProtocolName } from '../core/protocol.ts'
import { toHint } from './hints.ts'

/**
 * The last refused requests of each contract and reason, with the beginning of their bodies. It is
 * sampled: a flood of one reason costs little, and leaves the others in place.
 */
export type RefusalLog = {
  add(
    facts: () => RequestFacts,
    contract: ProtocolName,
    refusal: { error: IngestError; events: number; body: Uint8Array | undefined },
  ): void
  /** Newest first. */
  list(isWanted: (refusal: KeptRefusal) => boolean): Refusal[]
  /** Since the start, also those that were not kept. */
  counts(): RefusalCount[]
}

export type RequestFacts = {
  id: string
  client_id: string | null
  client_ip: string
  method: string
  path: string
  contract: ProtocolName
  received_ms: number
}

export type Refusal = Omit<KeptRefusal, 'body' | 'bodyBytes'> & {
  hint: string
  body: { text: string; bytes: number; cut: boolean; encoding: 'plain' | 'gzip' } | null
}

export type RefusalCount = { contract: string; reason: string; requests: number; hint: string }

type KeptRefusal = Omit<RequestFacts, 'received_ms' | 'id'> & {
  at_ms: number
  request_id: string
  status: number
  reason: string
  message: string
  events: number
  body: Buffer | undefined
  bodyBytes: number
}

/** There are 4 contracts and some 60 reasons: at most some 8 MB. */
const keptPerReasonMax = 25
const keptPerSecondMax = 10
const bodyBytesMax = 1024
const messageCharsMax = 500

type Reason = { contract: string; reason: string; requests: number; kept: KeptRefusal[] } & Pace
type Pace = { second: number; inSecond: number }

export function createRefusalLog(): RefusalLog {
  const reasons = new Map<string, Reason>()
  return {
    add(toFacts, contract, { error, events, body }) {
      const { code } = error
      const key = `${contract} ${code}`
      const known = reasons.get(key)
      const reason = known ?? { contract, reason: code, requests: 0, kept: [], ...noPace }
      if (!known) reasons.set(key, reason)
      reason.requests += 1
      const { id, received_ms: at_ms, ...facts } = toFacts()
      if (!isKept(reason, at_ms)) return
      if (reason.kept.length >= keptPerReasonMax) reason.kept.shift()
      const head = body && body.length > 0 ? Buffer.from(body.subarray(0, bodyBytesMax)) : undefined
      const message = copyText(error.message, messageCharsMax)
      const bodyBytes = body?.length ?? 0
      const refused = { status: error.status, reason: code, message, events, body: head, bodyBytes }
      reason.kept.push({ at_ms, request_id: id, ...facts, ...refused })
    },
    list: (isWanted) =>
      [...reasons.values()]
        .flatMap(({ kept }) => kept.filter(isWanted))
        .sort((a, b) => b.at_ms - a.at_ms)
        .map(toShown),
    counts: () =>
      [...reasons.values()].map(({ contract, reason, requests }) => {
        return { contract, reason, requests, hint: toHint(reason) }
      }),
  }
}

const noPace: Pace = { second: 0, inSecond: 0 }

function isKept(pace: Pace, nowMs: number): boolean {
  const second = Math.floor(nowMs / 1000)
  if (pace.second !== second) {
    pace.second = second
    pace.inSecond = 0
  }
  pace.inSecond += 1
  return pace.inSecond <= keptPerSecondMax
}

function toShown({ body, bodyBytes, ...kept }: KeptRefusal): Refusal {
  return { ...kept, hint: toHint(kept.reason), body: body ? toBody(body, bodyBytes) : null }
}

/** A part of a gzip body can be read up to where it ends. Its text may be longer, but not much. */
function toBody(head: Buffer, bytes: number): NonNullable<Refusal['body']> {
  const cut = bytes > head.length
  if (head[0] !== 0x1f || head[1] !== 0x8b)
    return { text: head.toString(), bytes, cut, encoding: 'plain' }
  try {
    const bounds = { finishFlush: constants.Z_SYNC_FLUSH, maxOutputLength: 2 ** 21 }
    const text = gunzipSync(head, bounds).toString()
    return {
      text: text.slice(0, textCharsMax),
      bytes,
      cut: cut || text.length > textCharsMax,
      encoding: 'gzip',
    }
  } catch {
    return { text: '', bytes, cut: true, encoding: 'gzip' }
  }
}

const textCharsMax = 4096
