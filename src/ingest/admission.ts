import type { CanonicalEvent, Category, QuotaName } from '../core/event.ts'
import type {
  IngestRequest,
  Normalised,
  Project,
  ProtocolName,
  Senders,
  Submission,
} from '../core/protocol.ts'
import type { Projects } from '../projects/projects.ts'
import { type DeadLetter, toDeadLetters } from './dead-letters.ts'
import { type QuotaGrant, type Quotas, quotaOf } from './limits/quotas.ts'
import type { Overflow } from './limits/rate-limiter.ts'
import { admitSenders, type SendersOptions } from './senders.ts'

/**
 * Decides who may send how much: projects, origins, keys and rates are judged before the events of a request
 * are normalised, quotas and overflow after it.
 */
export function createAdmission(options: AdmissionOptions): Admission {
  return {
    admit: (contract, submission, request) =>
      admitSenders(options, { contract, submission, request }),
    reserve(contract, { project }, normalised) {
      const deadLetters = toDeadLetters(normalised, project.id)
      const request = { contract, normalised, deadLetters }
      return hasQuota(options, request)
        ? reserve(options, request)
        : { kept: normalised.events, deadLetters, limited: [], settle: nothing, release: nothing }
    },
    divert: (events, nowMs) => divert(options.overflow, events, nowMs),
  }
}

export type Admission = {
  /**
   * Finds the projects of a request and takes from their rates. Throws or rejects with the codes of
   * `Projects.find`, with `origin_not_allowed`, or with `rate_limited` and `retryAfterSeconds`.
   */
  admit(
    contract: ProtocolName,
    submission: Submission,
    request: IngestRequest,
  ): Senders | Promise<Senders>
  /** Reserves quota for the events and the dead letters of a request. */
  reserve(
    contract: ProtocolName,
    senders: Senders,
    normalised: Normalised,
  ): Promise<QuotaVerdict> | QuotaVerdict
  /** Sets the route of events whose key exceeds the overflow rate, and returns their number. */
  divert(events: readonly CanonicalEvent[], nowMs: number): number
}

/** The part of a request that the quotas allow. It is reserved until `settle` or `release`. */
export type QuotaVerdict = {
  kept: readonly CanonicalEvent[]
  deadLetters: readonly DeadLetter[]
  /** The categories of the events that are not kept. */
  limited: readonly Category[]
  /** Call once the new events and the dead letters are committed: duplicates are not charged. */
  settle(newEvents: readonly CanonicalEvent[]): void
  /** Gives back what is not settled. No-op after `settle`. */
  release(): void
}

export type AdmissionOptions = SendersOptions & {
  projects: Pick<Projects, 'byId'>
  quotas: Pick<Quotas, 'reserve'>
  overflow: Overflow
}

/** How much a request wants of one quota of one project. */
type Want = { project: Project; name: QuotaName; count: number }
type Wanted = ReadonlyMap<string, Want>
type Request = {
  contract: ProtocolName
  normalised: Normalised
  deadLetters: readonly DeadLetter[]
}

const quotaNameOf = (contract: ProtocolName, category: Category): QuotaName =>
  contract === 'capture' ? category : contract

const deadLetterQuotaOf = (contract: ProtocolName, { rejectedQuota }: Normalised): QuotaName =>
  rejectedQuota ?? quotaNameOf(contract, 'events')

/** By the id that is stored in the row: telemetry events have projects of their own. */
const projectIdOf = ({ kind, row }: CanonicalEvent) =>
  kind === 'link' ? row.project_id : row.project

const toKey = (name: QuotaName, projectId: string) => `${name}:${projectId}`

const nothing = () => {}

/** Whether any quota applies to the request. Most projects have none. */
function hasQuota(
  { projects }: AdmissionOptions,
  { contract, normalised, deadLetters }: Request,
): boolean {
  const isLimited = (projectId: string, name: QuotaName) =>
    quotaOf(projects.byId(projectId), name) !== undefined
  for (const event of normalised.events) {
    if (isLimited(projectIdOf(event), quotaNameOf(contract, event.category))) return true
  }
  return deadLetters.some(({ project }) =>
    isLimited(project, deadLetterQuotaOf(contract, normalised)),
  )
}

function toWanted(
  { projects }: AdmissionOptions,
  { contract, normalised, deadLetters }: Request,
): Wanted {
  const wanted = new Map<string, Want>()
  const add = (name: QuotaName, projectId: string) => {
    const project = projects.byId(projectId)
    if (quotaOf(project, name) === undefined) return
    const key = toKey(name, projectId)
    const want = wanted.get(key) ?? { project, name, count: 0 }
    want.count += 1
    wanted.set(key, want)
  }
  for (const event of normalised.events)
    add(quotaNameOf(contract, event.category), projectIdOf(event))
  for (const { project } of deadLetters) add(deadLetterQuotaOf(contract, normalised), project)
  return wanted
}

/** Uses up each quota in the order of the request: its events first, then its dead letters. */
async function reserve(options: AdmissionOptions, request: Request): Promise<QuotaVerdict> {
  const { contract, normalised, deadLetters } = request
  const budgets = new Map<string, Budget>()
  const reserving = [...toWanted(options, request)].map(async ([key, { project, name, count }]) => {
    const grant = await options.quotas.reserve(project, name, count)
    budgets.set(key, { grant, left: grant.count, used: 0 })
  })
  await Promise.all(reserving)
  const budgetOf = (event: CanonicalEvent) =>
    budgets.get(toKey(quotaNameOf(contract, event.category), projectIdOf(event)))
  const quota = deadLetterQuotaOf(contract, normalised)
  const budgetOfLetter = ({ project }: DeadLetter) => budgets.get(toKey(quota, project))
  const limited = new Set<Category>()
  const kept = normalised.events.filter((event) => {
    if (takeOne(budgetOf(event))) return true
    limited.add(event.category)
    return false
  })
  const keptLetters = deadLetters.filter((letter) => takeOne(budgetOfLetter(letter)))
  const settleAll = (isCharged: boolean) => {
    for (const { grant, used } of budgets.values()) grant.settle(isCharged ? used : 0)
  }
  return {
    kept,
    deadLetters: keptLetters,
    limited: [...limited],
    settle(newEvents) {
      const charged = [...newEvents.map(budgetOf), ...keptLetters.map(budgetOfLetter)]
      for (const budget of charged) if (budget) budget.used += 1
      settleAll(true)
    },
    release: () => settleAll(false),
  }
}

/** `left` counts down while the request is judged, `used` up when it is settled. */
type Budget = { grant: QuotaGrant; left: number; used: number }

/** True without a quota. */
function takeOne(budget: Budget | undefined): boolean {
  if (budget === undefined) return true
  budget.left -= 1
  return budget.left >= 0
}

/**
 * Only events of the main topic overflow: migrated events have their own topic, and recordings are
 * keyed by session.
 */
function divert(overflow: Overflow, events: readonly CanonicalEvent[], nowMs: number): number {
  let diverted = 0
  for (const event of events) {
    if (event.kind !== 'event' || event.route !== 'main') continue
    if (!overflow.isOver(toOverflowKey(event), nowMs)) continue
    event.route = 'overflow'
    diverted += 1
  }
  return diverted
}

/** A stranger who sends telemetry for a user must not move the capture events of that user. */
function toOverflowKey({ key, row }: Extract<CanonicalEvent, { kind: 'event' }>): string {
  return row.source === 'capture' ? key : `${row.source}\n${key}`
}
