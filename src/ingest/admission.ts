import { IngestError } from '../core/errors.ts'
import type { CanonicalEvent, Category } from '../core/event.ts'
import type { IngestRequest, Project, ProtocolName } from '../core/protocol.ts'
import type { Overflow } from './limits/overflow.ts'
import type { Quotas } from './limits/quotas.ts'
import type { Limiter, Verdict } from './limits/rate-limiter.ts'

/** Who may send how much: rates before the events are judged, quotas and overflow after. */
export type Admission = {
  /** Throws `rate_limited` with `retryAfterSeconds`. */
  takeRate(contract: ProtocolName, project: Project, request: IngestRequest): void | Promise<void>
  /** What the quotas leave of the events, and the categories that they cut. */
  underQuota(events: readonly CanonicalEvent[]): Promise<QuotaVerdict> | QuotaVerdict
  /** New events are charged once they are committed: refused requests and duplicates cost nothing. */
  charge(events: readonly CanonicalEvent[]): void
  /** Sends events of overheated keys to the overflow topic, and says how many. */
  divert(events: readonly CanonicalEvent[], nowMs: number): number
}

export type QuotaVerdict = { kept: readonly CanonicalEvent[]; limited: readonly Category[] }

export type AdmissionParts = {
  /** By project: the server's rate, or the project's own. */
  requests: Limiter
  /** Of telemetry, by client address. */
  telemetry: Limiter
  quotas: Quotas
  overflow: Overflow
  /** By the id that is stored, as telemetry and link events name it. */
  projectById(id: string): Project
}

export function createAdmission(parts: AdmissionParts): Admission {
  return {
    takeRate(contract, project, request) {
      const verdict =
        contract === 'telemetry'
          ? parts.telemetry.take(request.clientIp)
          : takeProjectRate(parts, contract, project)
      return verdict instanceof Promise ? verdict.then(assertAllowed) : assertAllowed(verdict)
    },
    underQuota(events) {
      return events.some((event) => hasQuota(parts, event))
        ? cut(parts, events)
        : { kept: events, limited: [] }
    },
    charge(events) {
      for (const event of events) {
        if (hasQuota(parts, event)) parts.quotas.charge(projectOf(parts, event), event.category, 1)
      }
    },
    divert: (events, nowMs) => divert(parts.overflow, events, nowMs),
  }
}

const unlimited: Verdict = { allowed: true, retryAfterSeconds: 0 }

/** The server's own rate is for capture tokens; a project's is for whatever comes in its name. */
function takeProjectRate(
  { requests }: AdmissionParts,
  contract: ProtocolName,
  { id, rate }: Project,
): Verdict | Promise<Verdict> {
  if (rate) return requests.take(id, { rate })
  return contract === 'capture' ? requests.take(id) : unlimited
}

function assertAllowed({ allowed, retryAfterSeconds }: Verdict): void {
  if (allowed) return
  throw new IngestError('rate_limited', 'too many requests', { retryAfterSeconds })
}

function projectOf({ projectById }: AdmissionParts, { kind, row }: CanonicalEvent): Project {
  return projectById(kind === 'link' ? row.project_id : row.project)
}

function hasQuota(parts: AdmissionParts, event: CanonicalEvent): boolean {
  return projectOf(parts, event).quotas[event.category] !== undefined
}

/** Takes what each quota has left, in the order of the request. */
async function cut(
  parts: AdmissionParts,
  events: readonly CanonicalEvent[],
): Promise<QuotaVerdict> {
  const left = new Map<string, number>()
  const limited = new Set<Category>()
  const kept: CanonicalEvent[] = []
  for (const event of events) {
    const project = projectOf(parts, event)
    const name = `${event.category}:${project.id}`
    const room = left.get(name) ?? (await parts.quotas.left(project, event.category))
    left.set(name, room - 1)
    if (room > 0) kept.push(event)
    else limited.add(event.category)
  }
  return { kept, limited: [...limited] }
}

/** Migrated events have a topic of their own, and recordings are keyed by session: neither overflows. */
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
