import type { CodeCounts, Fault, IngestError, RequestFault } from './errors.ts'
import type { CanonicalEvent, Category, DedupKey, QuotaName, Rejection, Source } from './event.ts'

/** The name of a wire contract. */
export type ProtocolName = Source

/** The head of a request, as the pipeline gets it. */
export type IngestRequest = {
  method: string
  /** Path without a trailing slash; `/` stays. */
  path: string
  query: Pick<URLSearchParams, 'get'>
  headers: Headers
  /** The peer's address, or the one that a trusted proxy names. */
  clientIp: string
  receivedMs: number
}

/** The encodings of a body that a contract accepts. JSON and gzip are always accepted. */
export type DecodeRules = {
  /** Bound of the body, both on the wire and decoded. */
  bodyBytesMax: number
  /** The part of the usual bounds that fits into INTAKE_BYTES_MAX; 1 if it is missing. */
  sizeShare?: number
  /**
   * Accepts `data=` forms and `?data=`, plain or base64, and hints of compression in query, form
   * and header.
   */
  forms: boolean
  /** Accepts base64 bodies, encoded once or twice, as old PostHog clients send them. */
  base64: boolean
}

/**
 * `value` is the parsed JSON. Integers beyond 2^53 in it are `JSON.rawJSON` objects that stringify
 * exactly.
 */
export type DecodedBody = { value: unknown; decodedBytes: number }

/** A parsed request: the result of `parse`. Each contract adds fields of its own. */
export type Submission = {
  /** Token, API key or project id. The project is looked up by it. */
  credential: string
  /** Number of events in the request, valid or not. */
  received: number
  /** Telemetry: the apps that the events name, each once. Each event is sent for its own app. */
  apps?: readonly string[]
  /**
   * The request is refused, and its events can be read: they become dead letters of their project.
   * The reply names this fault also if the project is refused.
   */
  fault?: RequestFault | undefined
}

/** In whose name the events of a request are sent. */
export type Senders = {
  /** The project of the request. For telemetry, a project without a name: see `apps`. */
  project: Project
  /**
   * Telemetry: the project of each app, or the reason why it may not send. Undefined without a
   * projects file: each app is a project of its own.
   */
  apps?: ReadonlyMap<string, Project | Fault> | undefined
}

/** A project and its limits, from the projects file. */
export type Project = {
  /** Stored as `project`. */
  id: string
  /** Origins that may send for the project; undefined allows any. */
  origins: readonly string[] | undefined
  /** Requests per second and burst; undefined means the server's default. */
  rate: { perSecond: number; burst: number } | undefined
  /**
   * A category without a quota is unlimited. A contract without a quota of its own has one of the
   * size of `events`, and counts by itself.
   */
  quotas: Partial<Record<QuotaName, Quota>>
  /** These values are removed from events before they are stored. Undefined removes nothing. */
  privacy?: { ip: 'keep' | 'truncate' | 'drop'; dropProperties: readonly string[] } | undefined
  /** An absent value stands for the server's default. */
  enrichment?: EnrichmentChoice | undefined
}

/** The parts of enrichment: docs/enrichment.md. */
export const enrichParts = ['user_agent', 'geo', 'bots', 'utm'] as const
export type EnrichPart = (typeof enrichParts)[number]

/** Events of robots are marked, or they are left out. */
export type BotRule = 'mark' | 'drop'

export type EnrichmentChoice = {
  parts?: readonly EnrichPart[] | undefined
  bots?: BotRule | undefined
}

/** At most `max` events in a UTC day or month. */
export type Quota = { max: number; period: 'day' | 'month' }

/** The senders and the server's settings, which normalisation uses beside the request. */
export type NormaliseContext = Senders & {
  /**
   * `uuid`: the client's uuid is part of an event's identity. `contract`: only its timestamp is.
   */
  dedupIdentity: 'uuid' | 'contract'
  /** Bound of a recording's line: the limit of a Kafka message. Longer recordings are split. */
  lineBytesMax: number
  /** A client clock that differs by at most this much from the server's is not corrected, ms. */
  skewMsMin: number
}

/** The result of normalisation. */
export type Normalised = {
  events: CanonicalEvent[]
  /** In the order of the request. A contract may list the first ones only. */
  rejections: Rejection[]
  /** The rejected events that `rejections` does not list, by code. */
  moreRejected?: CodeCounts | undefined
  /** The quota that the dead letters use, if it is not that of the contract's events. */
  rejectedQuota?: QuotaName | undefined
  /** The request is refused as a whole. Then `events` is empty, and `rejections` has all of them. */
  refusal?: RequestFault | undefined
  /** Number of events that the contract ignores, such as `$performance_event`. */
  dropped: number
  /**
   * The dedup key of the request's whole payload, if the contract refuses another payload whose
   * events have the same dedup keys.
   */
  payloadKey?: DedupKey | undefined
}

/** The result of a request, once its events are durable. */
export type Outcome = {
  /** The events that are stored now. */
  events: readonly CanonicalEvent[]
  rejections: readonly Rejection[]
  /** Number of rejected events that `rejections` does not list. */
  moreRejected?: number
  /** Number of events that were stored before. */
  duplicates: number
  /** The categories whose quota is used up. Their events were dropped. */
  quotaLimited: readonly Category[]
  /** Those events. */
  overQuota: readonly CanonicalEvent[]
}

/** An HTTP reply without the headers that all replies share. */
export type Reply = {
  status: number
  body: string | null
  headers?: Record<string, string>
  /** Why the request was refused, as a code. The client may not see it; the access line has it. */
  reason?: string
}

/**
 * How one wire contract reads requests and writes replies. All functions are pure. `parse` throws
 * an IngestError to refuse the whole request; `refuse` writes that error in the contract's format.
 */
export type Protocol<S extends Submission> = {
  name: ProtocolName
  decode: DecodeRules
  /** Throws an IngestError to refuse a request by its head, before its body is read. */
  assertHead?(request: Pick<IngestRequest, 'headers'>): void
  parse(request: IngestRequest, body: DecodedBody): S
  reply(request: IngestRequest, submission: S, outcome: Outcome): Reply
  refuse(error: IngestError, request: Pick<IngestRequest, 'path' | 'query' | 'headers'>): Reply
}

/**
 * Converts the events of a request to canonical events and rejections, or to a `refusal` if the
 * contract refuses the whole request for one bad event. Pure. Never throws.
 */
type Normalise<S extends Submission> = (
  request: IngestRequest,
  submission: S,
  context: NormaliseContext,
) => Normalised

/** A complete wire contract, as the pipeline runs it. `contracts/registry.ts` lists all of them. */
export type Contract<S extends Submission = Submission> = Protocol<S> & {
  key: ContractKey
  normalise: Normalise<S>
}

/** The name of a contract in `contracts/registry.ts`. */
export type ContractKey = ProtocolName | 'captureV1' | 'recording'
