import { isJsonObject } from '../../contracts/shared/json.ts'
import { cutBytes } from '../../contracts/shared/text.ts'
import {
  type CanonicalEvent,
  type ColumnEncoding,
  type Columns,
  eventColumns,
  type JsonText,
  linkColumns,
  type Rejection,
  recordingColumns,
} from '../../core/event.ts'
import { deadLetterRawBytesMax } from '../../core/limits.ts'
import type { IngestRequest, Normalised, Project, Senders } from '../../core/protocol.ts'
import { type AddressRule, toKeptAddress } from './addresses.ts'
import { type PrivacyRules, scrubJson, scrubWarnings } from './scrub.ts'

/**
 * Removes from events and rejections what their project does not keep, in place. The last step that changes
 * rows: what is derived from an address must have been.
 */
export function applyPrivacy(senders: Senders, { events, rejections }: Normalised): void {
  const rulesOf = toRulesOf(senders)
  if (rulesOf === undefined) return
  for (const event of events) {
    const rules = rulesOf.get(event.kind === 'link' ? event.row.project_id : event.row.project)
    if (rules) applyToEvent(event, rules)
  }
  for (const rejection of rejections) {
    const rules = rulesOf.get(rejection.project ?? senders.project.id)
    if (rules) applyToRejection(rejection, rules)
  }
}

function applyToRejection(rejection: Rejection, rules: PrivacyRules): void {
  const { raw } = rejection
  const text = scrubJson(JSON.stringify(raw) ?? 'null', rules)
  rejection.rawText = cutBytes(text, deadLetterRawBytesMax)
  const sent = isJsonObject(raw) ? raw : {}
  const shown = shownNames.filter((name) => !rules.dropped.has(name))
  rejection.raw = Object.fromEntries(shown.map((name) => [name, sent[name]]))
}

/** The console names a rejected event by them. */
const shownNames = ['event', 'name', 'event_type', 'distinct_id', '$distinct_id']

/** The request as it may be stored and shown: the same one if no project has rules. */
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
  const { json, empty } = columns[kind]
  // The columns have these types in the rows of all tables.
  const texts = row as unknown as Record<string, unknown>
  for (const name of json) texts[name] = scrubJson(texts[name] as JsonText, rules)
  const { ingest_warnings: warnings } = texts
  if (typeof warnings === 'string') texts.ingest_warnings = scrubWarnings(warnings, rules)
  for (const name of rules.dropped) if (empty.has(name)) texts[name] = empty.get(name)
}

/** Columns that identify a row, group it or tell its contract: their removal would join rows. */
const kept: ReadonlySet<string> = new Set([
  ...['project', 'project_id', 'event', 'event_id', 'event_type', 'distinct_id', 'visitor_id'],
  ...['session_id', 'ingest_warnings'],
])

/** The value of a column that the client did not send. The server fills the other columns, or they order rows. */
const emptyOf: Partial<Record<ColumnEncoding, unknown>> = {
  text: '',
  json: '{}',
  texts: [],
  optional_time: null,
}
/** Clients send the numbers and flags of link events, too. */
const emptyOfLink = { time_spent_sec: 0, conversion_value: 0, is_bounce: true, is_qr_scan: false }

const toNames = (columns: Columns, more: Record<string, unknown> = {}) => {
  const all = Object.entries(columns).filter(([name]) => !kept.has(name))
  const json = all.flatMap(([name, [, encoding]]) => (encoding === 'json' ? [name] : []))
  const empty = all.flatMap(([name, [, encoding]]) =>
    encoding in emptyOf ? [[name, emptyOf[encoding]] as const] : [],
  )
  return { json, empty: new Map<string, unknown>([...empty, ...Object.entries(more)]) }
}

/** Snapshots of a recording are no properties: they stay as they are. */
const columns: Record<CanonicalEvent['kind'], ReturnType<typeof toNames>> = {
  event: toNames(eventColumns),
  recording: toNames(recordingColumns),
  link: toNames(linkColumns, emptyOfLink),
}
