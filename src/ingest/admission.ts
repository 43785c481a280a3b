import { IngestError } from '../core/errors.ts'
import type { CanonicalEvent, Category } from '../core/event.ts'
import type { IngestRequest, Project, ProtocolName } from '../core/protocol.ts'
import type { Overflow } from './limits/overflow.ts'
import type { Quotas } from './limits/quotas.ts'
import type { Limiter, RateDecision } from './limits/rate-limiter.ts'

/**
 * Rates, quotas and overflow: rates apply to a request before its events are normalised, the others
 * after.
 */
export function createAdmission(options: AdmissionOptions): Admission {
  return {
    takeRate(contract, project, request) {
      const decision =
        contract === 'telemetry'
          ? options.telemetry.take(request.clientIp)
          : takeProjectRate(options, contract, project)
      return decision instanceof Promise ? decision.then(assertAllowed) : assertAllowed(decision)
    },
    underQuota(events) {
      return events.some((event) => hasQuota(options, event))
        ? partitionByQuota(options, events)
        : { kept: events, limited: [] }
    },
    charge(events) {
      for (const event of events) {
        if (!hasQuota(options, event)) continue
        options.quotas.charge(projectOf(options, event), event.category, 1)
      }
    },
    divert: (events, nowMs) => divert(options.overflow, events, nowMs),
  }
}

export type Admission = {
  /** Throws or rejects with `rate_limited` and `retryAfterSeconds`. */
  takeRate(contract: ProtocolName, project: Project, request: IngestRequest): void | Promise<void>
  /** The events within the quotas, and the categories of those above. */
  underQuota(events: readonly CanonicalEvent[]): Promise<QuotaDecision> | QuotaDecision
  /**
   * Call with new events once they are committed: refused requests and duplicates are not charged.
   */
  charge(events: readonly CanonicalEvent[]): void
  /** Sets the route of events whose key exceeds the overflow rate, and returns their number. */
  divert(events: readonly CanonicalEvent[], nowMs: number): number
}

export type AdmissionOptions = {
  /** By project id. */
  requests: Limiter
  /** For telemetry, by client address. */
  telemetry: Limiter
  quotas: Pick<Quotas, 'left' | 'charge'>
  overflow: Overflow
  /** By the id that is stored in the row: telemetry and link events name their project there. */
  projectById(id: string): Project
}

type QuotaDecision = { kept: readonly CanonicalEvent[]; limited: readonly Category[] }

const unlimited: RateDecision = { allowed: true, retryAfterSeconds: 0 }

/**
 * The server's default rate applies to capture only; a project's own rate to all contracts but
 * telemetry.
 */
function takeProjectRate(
  { requests }: AdmissionOptions,
  contract: ProtocolName,
  { id, rate }: Project,
): RateDecision | Promise<RateDecision> {
  if (rate) return requests.take(id, { rate })
  return contract === 'capture' ? requests.take(id) : unlimited
}

function assertAllowed({ allowed, retryAfterSeconds }: RateDecision): void {
  if (allowed) return
  throw new IngestError('rate_limited', 'too many requests', { retryAfterSeconds })
}

function projectOf({ projectById }: AdmissionOptions, { kind, row }: CanonicalEvent): Project {
  return projectById(kind === 'link' ? row.project_id : row.project)
}

function hasQuota(options: AdmissionOptions, event: CanonicalEvent): boolean {
  return projectOf(options, event).quotas[event.category] !== undefined
}

/** Uses up each quota in the order of the request. */
async function partitionByQuota(
  options: AdmissionOptions,
  events: readonly CanonicalEvent[],
): Promise<QuotaDecision> {
  const leftByQuota = new Map<string, number>()
  const limited = new Set<Category>()
  const kept: CanonicalEvent[] = []
  for (const event of events) {
    const project = projectOf(options, event)
    const quota = `${event.category}:${project.id}`
    const left = leftByQuota.get(quota) ?? (await options.quotas.left(project, event.category))
    leftByQuota.set(quota, left - 1)
    if (left > 0) kept.push(event)
    else limited.add(event.category)
  }
  return { kept, limited: [...limited] }
}

/**
 * Only events of the main topic overflow: migrated events have their own topic, and recordings are
 * keyed by session.
 */
function divert(overflow: Overflow, events: readonly CanonicalEvent[], nowMs: number): number {
  let diverted = 0
  for (const event of events) {
    if (event.kind !== 'event' || event.route !== 'main') continue
    if (!overflow.isOver(event.key, nowMs)) continue
    event.route = 'overflow'
    diverted += 1
  }
  return diverted
}
