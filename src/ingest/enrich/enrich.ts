import type { CanonicalEvent, SentProperties } from '../../core/event.ts'
import type {
  BotRule,
  EnrichmentChoice,
  EnrichPart,
  Normalised,
  Project,
  Senders,
} from '../../core/protocol.ts'
import { createAgents, fillAgent, toAbsentAgent } from './agents.ts'
import { createCampaigns, fillCampaign } from './campaign.ts'
import type { EnrichCounts } from './counts.ts'
import { toFacts, toMembers, toSparseMembers } from './facts.ts'
import { createGeo, fillPlace, type GeoData, toAbsentPlace } from './geo.ts'
import type { MissBudget } from './text-cache.ts'

/**
 * Fills in what clients seldom know, for the events of one request: device, browser and system,
 * place, campaign, and whether a robot sent them. Pure: the rows are complete before and after, and
 * what a client sent stays. Reads the address of a row, so it runs before a step that removes it.
 */
export type Enrich = (normalised: Normalised, senders: Senders) => Normalised

export type Enricher = {
  enrich: Enrich
  /** The data of GEOIP_FILE for the next events. */
  useGeo(data: GeoData | undefined): void
}

/** For projects that choose nothing. */
export type EnrichmentDefaults = { parts: readonly EnrichPart[]; bots: BotRule }

export function createEnricher({ defaults, counts, misses }: EnricherOptions): Enricher {
  const budget: MissBudget = { left: 0, leftMs: 0 }
  const agents = createAgents(counts.userAgent, budget)
  const campaigns = createCampaigns(counts.utm, budget)
  const geo = createGeo(counts.geo, budget)
  const toRules = createRules(defaults)

  /** Whether the event stays. */
  function judge(isBot: boolean, { bots }: Rules): boolean {
    if (!isBot || bots === undefined) return true
    counts.bots[bots === 'drop' ? 'dropped' : 'marked'] += 1
    return bots === 'mark'
  }

  function fillEvent({ row, properties: sent }: EventOf<'event'>, rules: Rules): boolean {
    if (sent === undefined) return true
    let members = ''
    if (rules.userAgent || rules.bots !== undefined) {
      const own = row.source === 'capture' ? toOwnAgent(sent) : ''
      const agent = agents.of(own || row.user_agent)
      const isBot = own === '' ? agent.isCallingRobot : agent.isRobot
      if (!judge(isBot, rules)) return false
      if (isBot && rules.bots !== undefined) members += toSparseMembers(botFacts, sent)
      if (rules.userAgent) members += toMembers(agent.facts, toAbsentAgent(sent))
    }
    if (rules.geo && sent.$geoip_disable !== true) {
      members += toMembers(geo.of(row.ip).facts, toAbsentPlace(sent))
    }
    if (rules.utm) members += toSparseMembers(campaigns.ofEvent(sent).facts, sent)
    if (members !== '') row.properties = appendMembers(row.properties, members)
    return true
  }

  function fillLink({ row, isAgentSent }: EventOf<'link'>, rules: Rules): boolean {
    if (rules.userAgent || rules.bots !== undefined) {
      const agent = agents.of(row.user_agent)
      const isBot = isAgentSent ? agent.isRobot : agent.isCallingRobot
      if (!judge(isBot, rules)) return false
      if (isBot && rules.bots !== undefined) row.is_bot = true
      if (rules.userAgent) fillAgent(agent, row)
    }
    if (rules.geo) fillPlace(geo.of(row.ip_address), row)
    if (rules.utm) fillCampaign(campaigns.ofLink(row), row)
    return true
  }

  /** A recording has no properties, so it is not marked. */
  function keepsRecording({ row }: EventOf<'recording'>, rules: Rules): boolean {
    return rules.bots !== 'drop' || judge(agents.of(row.user_agent).isCallingRobot, rules)
  }

  function fill(event: CanonicalEvent, rules: Rules): boolean {
    if (!rules.isOn) return true
    if (event.kind === 'event') return fillEvent(event, rules)
    return event.kind === 'link' ? fillLink(event, rules) : keepsRecording(event, rules)
  }

  return {
    useGeo: geo.use,
    enrich(normalised, { project, apps }) {
      const rules = toRules(project)
      if (apps === undefined && !rules.isOn) return normalised
      Object.assign(budget, misses)
      const { events } = normalised
      const ofProject = apps && byId(apps)
      const isKept = (event: CanonicalEvent) =>
        fill(event, ofProject ? toRules(ofProject.get(toProjectId(event))) : rules)
      const first = events.findIndex((event) => !isKept(event))
      if (first < 0) return normalised
      const kept = [...events.slice(0, first), ...events.slice(first + 1).filter(isKept)]
      const dropped = normalised.dropped + events.length - kept.length
      return { ...normalised, events: kept, dropped }
    },
  }
}

/** The body thread needs this beside the events. */
export type EnrichmentMessage = { defaults: EnrichmentDefaults; geo: GeoData | undefined }

/** The bounds for a body that the serving thread works on. Usual texts take less time than that. */
export const smallMisses: Readonly<MissBudget> = { left: 600, leftMs: 20 }
/** The bounds for a body that the body thread works on. */
export const largeMisses: Readonly<MissBudget> = { left: 10_000, leftMs: 1000 }

export type EnricherOptions = {
  defaults: EnrichmentDefaults
  counts: EnrichCounts
  /**
   * So many new texts of a request are looked at, and for so long. Measured: a User-Agent takes 30 µs,
   * an address 15, and a hostile text up to 700. Events beyond them get what is remembered of their texts.
   */
  misses: Readonly<MissBudget>
}

type EventOf<K extends CanonicalEvent['kind']> = Extract<CanonicalEvent, { kind: K }>

type Rules = {
  isOn: boolean
  userAgent: boolean
  geo: boolean
  utm: boolean
  /** Undefined: robots are not looked for. */
  bots: BotRule | undefined
}

/** The rules of a project. Few projects choose, and their choice is one object until the file changes. */
function createRules(defaults: EnrichmentDefaults): (project: Project | undefined) => Rules {
  const usual = toRulesOf(defaults)
  const chosen = new WeakMap<EnrichmentChoice, Rules>()
  return (project) => {
    const choice = project?.enrichment
    if (choice === undefined) return usual
    let rules = chosen.get(choice)
    if (rules === undefined) {
      const { parts = defaults.parts, bots = defaults.bots } = choice
      rules = toRulesOf({ parts, bots })
      chosen.set(choice, rules)
    }
    return rules
  }
}

function toRulesOf({ parts = [], bots = 'mark' }: EnrichmentChoice): Rules {
  return {
    isOn: parts.length > 0,
    userAgent: parts.includes('user_agent'),
    geo: parts.includes('geo'),
    utm: parts.includes('utm'),
    bots: parts.includes('bots') ? bots : undefined,
  }
}

/** The ids are those of the projects file, so a Map is safe: clients only look them up. */
function byId(apps: NonNullable<Senders['apps']>): Map<string, Project> {
  const projects = [...apps.values()].flatMap((found) => ('id' in found ? [found] : []))
  return new Map(projects.map((found) => [found.id, found]))
}

const toProjectId = ({ kind, row }: CanonicalEvent) =>
  kind === 'link' ? row.project_id : row.project

/** A capture event may name the User-Agent of the visitor in whose name a server sends it. */
function toOwnAgent({ $raw_user_agent, $user_agent, $useragent }: SentProperties): string {
  const own = $raw_user_agent ?? $user_agent ?? $useragent
  return typeof own === 'string' ? own : ''
}

const botFacts = toFacts({ $bot: true })

/** Adds members, each with a leading comma, to the JSON of an object, which has no white space. */
function appendMembers(json: string, members: string): string {
  return json === '{}' ? `{${members.slice(1)}}` : `${json.slice(0, -1)}${members}}`
}
