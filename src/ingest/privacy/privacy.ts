import {
  type CanonicalEvent,
  type Columns,
  eventColumns,
  linkColumns,
  recordingColumns,
} from '../../core/event.ts'
import type { IngestRequest, Normalised, Project, Senders } from '../../core/protocol.ts'
import { type AddressRule, toKeptAddress } from './addresses.ts'
import { type PrivacyRules, scrubJson, scrubValue } from './scrub.ts'

/**
 * Removes from events and rejections what their project does not keep, in place. Returns the request as it
 * may be stored and shown: the same one if no project has rules.
 */
export function applyPrivacy<R extends IngestRequest>(
  senders: Senders,
  { events, rejections }: Normalised,
  request: R,
): R {
  const rulesOf = toRulesOf(senders)
  if (rulesOf === undefined) return request
  for (const event of events) {
    const rules = rulesOf.get(event.kind === 'link' ? event.row.project_id : event.row.project)
    if (rules) applyToEvent(event, rules)
  }
  for (const rejection of rejections) {
    const rules = rulesOf.get(rejection.project ?? senders.project.id)
    if (rules) rejection.raw = scrubValue(rejection.raw, rules)
  }
  return toShown(request, rulesOf)
}

/** The request as it may be stored and shown, without its events. */
export function toShownRequest<R extends IngestRequest>(senders: Senders, request: R): R {
  const rulesOf = toRulesOf(senders)
  return rulesOf === undefined ? request : toShown(request, rulesOf)
}

type RulesOf = ReadonlyMap<string, PrivacyRules>

/** Undefined if no project of the request has rules: nearly always. */
function toRulesOf(senders: Senders): RulesOf | undefined {
  if (senders.project.privacy === undefined && senders.apps === undefined) return undefined
  const projects = toProjects(senders).filter(({ privacy }) => privacy !== undefined)
  if (projects.length === 0) return undefined
  return new Map(projects.map((project) => [project.id, toRules(project)]))
}

/** Dead letters and the console get the address by the strictest rule of the request's projects. */
function toShown<R extends IngestRequest>(request: R, rulesOf: RulesOf): R {
  const rules = [...rulesOf.values()].map(({ ip }) => ip)
  const strictest = ruleOrder.find((rule) => rules.includes(rule)) ?? 'keep'
  return { ...request, clientIp: toKeptAddress(request.clientIp, strictest) }
}

const ruleOrder: readonly AddressRule[] = ['drop', 'truncate']

function toProjects({ project, apps }: Senders): Project[] {
  if (apps === undefined) return [project]
  return [project, ...[...apps.values()].filter((sender) => 'id' in sender)]
}

const toRules = ({ privacy }: Project): PrivacyRules => ({
  ip: privacy?.ip ?? 'keep',
  dropped: new Set(privacy?.dropProperties),
})

function applyToEvent(event: CanonicalEvent, rules: PrivacyRules): void {
  const { kind, row } = event
  if (kind === 'link') row.ip_address = toKeptAddress(row.ip_address, rules.ip)
  else row.ip = toKeptAddress(row.ip, rules.ip)
  const { json, text } = columns[kind]
  // Rows of all tables have texts in these columns.
  const texts = row as unknown as Record<string, string>
  for (const name of json) texts[name] = scrubJson(texts[name]!, rules)
  for (const name of rules.dropped) if (text.has(name)) texts[name] = ''
}

/** Columns that identify a row, group it or tell its contract: their removal would join rows. */
const kept: ReadonlySet<string> = new Set([
  ...['project', 'project_id', 'event', 'event_id', 'event_type', 'distinct_id', 'visitor_id'],
  'session_id',
])

const toNames = (columns: Columns) => {
  const of = (wanted: string) =>
    Object.entries(columns).flatMap(([name, [, encoding]]) => (encoding === wanted ? [name] : []))
  return { json: of('json'), text: new Set(of('text').filter((name) => !kept.has(name))) }
}

/** Snapshots of a recording are no properties: they stay as they are. */
const columns: Record<CanonicalEvent['kind'], ReturnType<typeof toNames>> = {
  event: toNames(eventColumns),
  recording: toNames(recordingColumns),
  link: toNames(linkColumns),
}
