import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { CanonicalEvent, LinkRow } from '../src/core/event.ts'
import { type EnrichPart, enrichParts } from '../src/core/protocol.ts'
import { createEnrichCounts } from '../src/ingest/enrich/counts.ts'
import { createEnricher } from '../src/ingest/enrich/enrich.ts'

/**
 * `bun bench/enrich.ts`: what each part of enrichment adds to the time of an event, in one
 * process, with warm caches, for batches of 50 capture events and for single link events. Each
 * request has another User-Agent, address and campaign out of several hundred.
 */
const usMax = 0.3
const rounds = 15
const requests = 4000
const requestsPerGroup = 20
const variants = 400
const eventsPerBatch = 50

const root = join(import.meta.dir, '..')
const corpus = JSON.parse(
  readFileSync(join(root, 'node_modules/user-agents/dist/user-agents.json'), 'utf8'),
) as { userAgent: string }[]
const userAgents = [...new Set(corpus.map(({ userAgent }) => userAgent))].slice(0, variants)
const file = readFileSync(join(root, 'test/fixtures/geoip/GeoIP2-City-Test.mmdb'))
const geo = { number: 1, bytes: new SharedArrayBuffer(file.length) }
new Uint8Array(geo.bytes).set(file)

type Kind = 'batch' | 'link'

/** Fresh rows, because enrichment fills them. The texts of a request are made as a request's are. */
function toEvents(kind: Kind, request: number): CanonicalEvent[] {
  const agent = Buffer.from(userAgents[request % userAgents.length]!).toString()
  const ip = `81.2.69.${144 + (request % 48)}`
  if (kind === 'link') return [toLink(request, agent, ip)]
  return Array.from({ length: eventsPerBatch }, (_, index) => toCapture(index, agent, ip))
}

const common = { route: 'main', category: 'events', key: 'k', dedupKey: undefined } as const

function toCapture(index: number, user_agent: string, ip: string): CanonicalEvent {
  const properties = {
    $current_url: `https://app.example.com/projects/${index}?utm_source=mail&utm_campaign=c${index % 8}`,
    $screen_height: 1080,
    $lib: 'web',
    $session_id: `0190${index}`,
    $referrer: 'https://www.example.com/',
    title: 'Dashboard',
    plan: 'scale',
  }
  const row = {
    ...{ uuid: '', project: 'p', event: 'e', distinct_id: 'd', session_id: '' },
    source: 'capture',
    ...{ timestamp: 0, received_at: 0, ip, user_agent, library: '', user: '{}', historical: false },
    properties: JSON.stringify(properties),
  } as const
  return { kind: 'event', row: { ...row }, properties, ...common }
}

function toLink(request: number, user_agent: string, ip_address: string): CanonicalEvent {
  const row = {
    ...{ project_id: 'p', ip_address, user_agent, referrer: '', event_attributes: '{}' },
    ...{ country: '', city: '', device_type: '', browser: '', os: '' },
    ...{ utm_source: '', utm_medium: '', utm_campaign: '', utm_term: '', utm_content: '' },
    link_original_url: `https://shop.example/promo?utm_source=mail&utm_campaign=c${request % 8}`,
  }
  return { kind: 'link', row: row as unknown as LinkRow, isAgentSent: true, ...common }
}

const project = { id: 'p', origins: undefined, rate: undefined, quotas: {} }

function createRun(parts: readonly EnrichPart[]) {
  const defaults = { parts, bots: 'mark' } as const
  const enricher = createEnricher({
    defaults,
    counts: createEnrichCounts(),
    misses: { left: 1000, leftMs: 1e6 },
  })
  enricher.useGeo(geo)
  return (events: CanonicalEvent[]) =>
    enricher.enrich({ events, rejections: [], dropped: 0 }, { project })
}

/** Only enrichment is timed, on rows that were made just before, as those of a request are. */
function toUsPerEvent(kind: Kind, run: (events: CanonicalEvent[]) => void): number {
  let ms = 0
  let events = 0
  for (let first = 0; first < requests; first += requestsPerGroup) {
    const group = Array.from({ length: requestsPerGroup }, (_, at) => toEvents(kind, first + at))
    const startMs = performance.now()
    for (const request of group) run(request)
    ms += performance.now() - startMs
    for (const request of group) events += request.length
  }
  return (ms * 1000) / events
}

/** The least of several rounds, in turn with the others: a busy machine only adds time. */
function measure(kind: Kind): Record<string, number> {
  const runs = Object.fromEntries(
    [['off', []] as const, ...enrichParts.map((part) => [part, [part]] as const)].map(
      ([name, parts]) => [name, createRun(parts)],
    ),
  )
  const all = createRun(enrichParts)
  const least: Record<string, number> = {}
  for (let round = 0; round < rounds; round += 1) {
    for (const [name, run] of [...Object.entries(runs), ['all', all] as const]) {
      const us = toUsPerEvent(kind, run)
      if (round > 2) least[name] = Math.min(least[name] ?? Number.POSITIVE_INFINITY, us)
    }
  }
  return least
}

let passed = true
for (const kind of ['batch', 'link'] as const) {
  const { off = 0, ...times } = measure(kind)
  for (const [name, us] of Object.entries(times)) {
    const added = us - off
    if (name !== 'all' && added > usMax) passed = false
    console.log(`${kind} ${name.padEnd(10)} ${added.toFixed(3)} µs an event`)
  }
}
console.log(`each part at most ${usMax} µs\n${passed ? 'PASS' : 'FAIL'}`)
process.exit(passed ? 0 : 1)
