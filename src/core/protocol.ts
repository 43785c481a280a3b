import type { Fault, IngestError } from './errors.ts'
import type { CanonicalEvent, Category, Rejection } from './event.ts'

export type ProtocolName = 'capture' | 'link' | 'report' | 'telemetry'

/** A request as the pipeline sees it, before its body. */
export type IngestRequest = {
  method: string
  /** Path without a trailing slash; `/` stays. */
  path: string
  query: Pick<URLSearchParams, 'get'>
  headers: Headers
  clientIp: string
  receivedMs: number
}

/** How a contract's bodies may be wrapped. JSON, and gzip by header or magic bytes, are always understood. */
export type DecodeRules = {
  bodyBytesMax: number
  /** `data=` forms and `?data=`, plain or base64; compression hints in query, form and header. */
  forms: boolean
  /** Base64 bodies, decoded twice where needed: the old capture paths. */
  base64: boolean
}

/** `value` is the parsed JSON; integers beyond 2^53 in it are `JSON.rawJSON` objects that stringify exactly. */
export type DecodedBody = { value: unknown; decodedBytes: number }

/** What a protocol found in a request. Each contract adds fields of its own. */
export type Submission = {
  /** Token, API key or project id, by which the project is found. */
  credential: string
  /** How many events the request holds, before any is judged. */
  received: number
}

export type Project = {
  /** Stored as `project`. */
  id: string
  /** Origins allowed to send for it; undefined allows any. */
  origins: readonly string[] | undefined
  /** Requests per second and burst; undefined takes the server's default. */
  rate: { perSecond: number; burst: number } | undefined
  quotas: Partial<Record<Category, Quota>>
}

export type Quota = { max: number; period: 'day' | 'month' }

/** What normalisation may know of the server beside the request. */
export type NormaliseContext = {
  project: Project
  /** `uuid`: the client's uuid is part of an event's identity; `contract`: the timestamp alone. */
  dedupIdentity: 'uuid' | 'contract'
  /** A recording is split so that no line exceeds this: what a Kafka broker takes. */
  lineBytesMax: number
}

/** `dropped` counts events that a contract drops silently, such as `$performance_event`. */
export type Normalised = { events: CanonicalEvent[]; rejections: Rejection[]; dropped: number }

/** What became of a request's events once they are durable. */
export type Outcome = {
  events: readonly CanonicalEvent[]
  rejections: readonly Rejection[]
  duplicates: number
  quotaLimited: readonly Category[]
}

export type Reply = { status: number; body: string | null; headers?: Record<string, string> }

/**
 * One wire contract's words. All functions are pure: `parse` throws IngestError to refuse the request as a
 * whole, and `refuse` shapes that error as the contract says.
 */
export type Protocol<S extends Submission> = {
  name: ProtocolName
  decode: DecodeRules
  parse(request: IngestRequest, body: DecodedBody): S
  reply(request: IngestRequest, submission: S, outcome: Outcome): Reply
  refuse(error: IngestError, request: Pick<IngestRequest, 'path' | 'query'>): Reply
}

/** Raw events → canonical events and rejections. Pure; throws IngestError where a contract refuses whole. */
export type Normalise<S extends Submission> = (
  request: IngestRequest,
  submission: S,
  context: NormaliseContext,
) => Normalised

/** A protocol with its normalisation: what the pipeline runs. `contracts.ts` is the table of them. */
export type Contract<S extends Submission = Submission> = Protocol<S> & { normalise: Normalise<S> }

export type { Fault }
