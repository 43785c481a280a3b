import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { CanonicalEvent, EventRow, LinkRow } from '../../../../src/core/event.ts'
import type { EnrichPart, Project, Senders } from '../../../../src/core/protocol.ts'
import { createEnrichCounts } from '../../../../src/ingest/enrich/counts.ts'
import { createEnricher } from '../../../../src/ingest/enrich/enrich.ts'
import type { GeoData } from '../../../../src/ingest/enrich/geo.ts'
import type { MissBudget } from '../../../../src/ingest/enrich/text-cache.ts'

const fixtures = join(import.meta.dir, '../../../fixtures/geoip')
export const geoFile = (name: string) => join(fixtures, name)

/** The test data of the file format's vendor: made-up places of real addresses. */
export const cityFile = geoFile('GeoIP2-City-Test.mmdb')

export function readGeo(path: string, number = 1): GeoData {
  const bytes = readFileSync(path)
  const shared = new SharedArrayBuffer(bytes.length)
  new Uint8Array(shared).set(bytes)
  return { number, bytes: shared }
}

/** Distinct User-Agents of real visitors, with the kind of device that their page measured. */
export function readVisitors(): { userAgent: string; deviceCategory: string }[] {
  const all = readPackage('user-agents/dist/user-agents.json') as ReturnType<typeof readVisitors>
  return [...new Map(all.map((visitor) => [visitor.userAgent, visitor])).values()]
}

type Crawler = { instances?: string[]; tags?: string[] }

/** User-Agents of robots as they were seen, with their kinds. */
export function readRobots(): { userAgent: string; tags: readonly string[] }[] {
  const all = readPackage('crawler-user-agents/crawler-user-agents.json') as Crawler[]
  return all.flatMap(({ instances = [], tags = [] }) =>
    instances.map((userAgent) => ({ userAgent, tags })),
  )
}

function readPackage(path: string): unknown {
  const folder = join(import.meta.dir, '../../../../node_modules')
  return JSON.parse(readFileSync(join(folder, path), 'utf8'))
}

const routed = { route: 'main', category: 'events', key: 'k', dedupKey: undefined } as const

export function toCaptureEvent(
  properties: Record<string, unknown>,
  row: Partial<EventRow> = {},
): CanonicalEvent {
  const full: EventRow = {
    uuid: '00000000-0000-5000-8000-000000000000',
    ...{ project: 'shop', source: 'capture', event: 'e', distinct_id: 'd', session_id: '' },
    ...{ timestamp: 0, received_at: 0, ip: '', user_agent: '', library: '' },
    ...{ properties: JSON.stringify(properties), user: '{}', historical: false },
    ...row,
  }
  return { kind: 'event', row: full, properties, ...routed }
}

const emptyLink = {
  ...{ project_id: 'shop', ip_address: '', user_agent: '', referrer: '', link_original_url: '' },
  ...{ country: '', city: '', device_type: '', browser: '', os: '', event_attributes: '{}' },
  ...{ utm_source: '', utm_medium: '', utm_campaign: '', utm_term: '', utm_content: '' },
  is_bot: undefined,
}

export function toLinkEvent(row: Partial<LinkRow>, isAgentSent = true): CanonicalEvent {
  return { kind: 'link', row: { ...emptyLink, ...row } as LinkRow, isAgentSent, ...routed }
}

export const unlimited: MissBudget = { left: Infinity, leftMs: Infinity }

export const shop: Project = { id: 'shop', origins: undefined, rate: undefined, quotas: {} }

export function createTestEnricher(
  parts: readonly EnrichPart[],
  bots: 'mark' | 'drop' = 'mark',
  misses: MissBudget = unlimited,
) {
  const counts = createEnrichCounts()
  const enricher = createEnricher({ defaults: { parts, bots }, counts, misses })
  enricher.useGeo(readGeo(cityFile))
  return {
    counts,
    enrich: (events: CanonicalEvent[], senders: Senders = { project: shop }) =>
      enricher.enrich({ events, rejections: [], dropped: 0 }, senders),
    /** The properties of one event, or the columns of one link event. */
    fill(event: CanonicalEvent): Record<string, unknown> {
      const [kept] = enricher.enrich(
        { events: [event], rejections: [], dropped: 0 },
        { project: shop },
      ).events
      if (kept === undefined) return { isDropped: true }
      return kept.kind === 'event' ? JSON.parse(kept.row.properties) : kept.row
    },
  }
}
