import type { CodeCounts, ErrorCode } from '../core/errors.ts'
import type { Alteration } from '../core/event.ts'
import type { ProtocolName } from '../core/protocol.ts'

/**
 * Counters of the ingest pipeline by contract, as plain numbers: the hot path adds to them, `metrics.ts` reads them.
 * An event counts as received when its outcome is known, so this holds at every moment:
 * received = accepted + rejected + dropped + quotaDropped + duplicate.
 * Snapshots merged into one recording count as one event.
 */
export function createEventCounters(
  isListed: (project: string) => boolean = () => false,
): EventCounters {
  const eventsByProject = new Map<string, ProjectCounts>([[otherProjects, createProjectCounts()]])
  const alteredByProject = new Map<string, AlteredCounts>([[otherProjects, { duplicate: 0 }]])
  function countsOf<C>(all: Map<string, C>, project: string, create: () => C): C {
    const known = all.get(project)
    if (known !== undefined) return known
    if (all.size > projectLabelsMax || !isListed(project)) return all.get(otherProjects)!
    const counts = create()
    all.set(project, counts)
    return counts
  }
  const byContract = {
    capture: createContractCounters(),
    link: createContractCounters(),
    report: createContractCounters(),
    telemetry: createContractCounters(),
  }
  return {
    byContract,
    alteredByProject,
    eventsByProject,
    addOfProject(project, outcome, events) {
      countsOf(eventsByProject, project, createProjectCounts)[outcome] += events
    },
    addAltered(project, kind) {
      const counts = countsOf<AlteredCounts>(alteredByProject, project, () => ({}))
      counts[kind] = (counts[kind] ?? 0) + 1
    },
    addCommitted(protocol, events) {
      byContract[protocol].committed += events
    },
    addOutcome(protocol, outcome) {
      const counters = byContract[protocol]
      const { accepted, duplicates, dropped, quotaDropped, diverted } = outcome
      const rejected = addRejections(counters, outcome)
      counters.received += accepted + duplicates + dropped + quotaDropped + rejected
      counters.accepted += accepted
      counters.duplicate += duplicates
      counters.dropped += dropped
      counters.quotaDropped += quotaDropped
      counters.overflowed += diverted
      return rejected
    },
    addRefused(protocol, events, code) {
      byContract[protocol].received += events
      addRejected(byContract[protocol], events, code)
    },
  }
}

export type EventCounters = {
  /** Events of one request that are on disk. Their outcome is added after the dedup keys are marked as seen. */
  addCommitted(protocol: ProtocolName, events: number): void
  /** The outcome of every event of a request that was answered. Returns how many were rejected. */
  addOutcome(protocol: ProtocolName, outcome: EventOutcome): number
  /** All events of a request that was refused as a whole. */
  addRefused(protocol: ProtocolName, events: number, code: ErrorCode): void
  /** One event that is stored otherwise than it was sent, or not again, by its project's id. */
  addAltered(project: string, kind: keyof AlteredCounts): void
  /** Events of one project that had this outcome. */
  addOfProject(project: string, outcome: keyof ProjectCounts, events: number): void
  byContract: Readonly<Record<ProtocolName, ContractCounters>>
  /** At most `projectLabelsMax` projects, all of the projects file; `other` counts the rest. */
  alteredByProject: ReadonlyMap<string, Readonly<AlteredCounts>>
  /** Bounded in the same way. A rejected event may have no project, so it is not counted. */
  eventsByProject: ReadonlyMap<string, Readonly<ProjectCounts>>
}

/** Events by the way in which they were altered. `duplicate`: an event that was stored before. */
export type AlteredCounts = Partial<Record<Alteration | 'duplicate', number>>

/** All counts are events. The names are label values of a metric. */
export type ProjectCounts = { accepted: number; duplicate: number; quota_dropped: number }

const createProjectCounts = (): ProjectCounts => ({ accepted: 0, duplicate: 0, quota_dropped: 0 })

/** Clients choose ids of projects that no file lists, so only listed ones become labels. */
const projectLabelsMax = 100
const otherProjects = 'other'

/** All counts are events. */
export type ContractCounters = {
  received: number
  /** On disk. Equals `accepted` when no request is in flight. */
  committed: number
  accepted: number
  duplicate: number
  /** Ignored without an error, as the contract demands. */
  dropped: number
  quotaDropped: number
  overflowed: number
  /** By error code; the event alone or its whole request was refused. */
  rejected: CodeCounts
}

type EventOutcome = {
  accepted: number
  duplicates: number
  dropped: number
  quotaDropped: number
  /** Accepted events that go to the overflow topic. */
  diverted: number
  rejections: readonly { code: ErrorCode }[]
  /** The rejected events that `rejections` does not list. */
  moreRejected?: CodeCounts
}

const createContractCounters = (): ContractCounters => ({
  received: 0,
  committed: 0,
  accepted: 0,
  duplicate: 0,
  dropped: 0,
  quotaDropped: 0,
  overflowed: 0,
  rejected: {},
})

function addRejected(counters: ContractCounters, events: number, code: ErrorCode): void {
  counters.rejected[code] = (counters.rejected[code] ?? 0) + events
}

function addRejections(
  counters: ContractCounters,
  { rejections, moreRejected = {} }: EventOutcome,
): number {
  let events = rejections.length
  for (const { code } of rejections) addRejected(counters, 1, code)
  for (const [code, more] of Object.entries(moreRejected)) {
    addRejected(counters, more, code as ErrorCode)
    events += more
  }
  return events
}
