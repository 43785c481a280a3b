import { describe, expect, test } from 'bun:test'
import type { Fault } from '../../../../src/core/errors.ts'
import type { Project } from '../../../../src/core/protocol.ts'
import { addCounts, createEnrichCounts, takeCounts } from '../../../../src/ingest/enrich/counts.ts'
import { createEnricher } from '../../../../src/ingest/enrich/enrich.ts'
import { createTextCache } from '../../../../src/ingest/enrich/text-cache.ts'
import { createTestEnricher, shop, toCaptureEvent, toLinkEvent, unlimited } from './support.ts'

const chrome =
  'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36'

describe('the choice of a project', () => {
  const toEvent = () => toCaptureEvent({}, { user_agent: chrome, ip: '2.125.160.216' })
  const namesOf = (enrichment: typeof shop.enrichment, defaults = createTestEnricher(['geo'])) => {
    const { events } = defaults.enrich([toEvent()], { project: { ...shop, enrichment } })
    const [event] = events
    if (event?.kind !== 'event') return undefined
    return Object.keys(JSON.parse(event.row.properties)).map((name) => name.slice(0, 6))
  }

  test('is the server’s if the project has none', () => {
    expect(new Set(namesOf(undefined))).toEqual(new Set(['$geoip']))
    expect(new Set(namesOf({ bots: 'drop' }))).toEqual(new Set(['$geoip']))
  })

  test('replaces the server’s', () => {
    expect(new Set(namesOf({ parts: ['user_agent'] }))).toEqual(
      new Set(['$brows', '$os', '$os_ve', '$devic']),
    )
    expect(namesOf({ parts: [] })).toEqual([])
  })

  test('of each project in a telemetry batch applies to its events', () => {
    const { enrich } = createTestEnricher([])
    const on = { ...shop, id: 'on', enrichment: { parts: ['user_agent'] as const } }
    const apps = new Map<string, Project | Fault>([
      ['app-on', on],
      ['app-off', shop],
      ['app-bad', { code: 'unknown_app', message: '' }],
    ])
    const toTelemetry = (project: string) =>
      toCaptureEvent({}, { project, source: 'telemetry', user_agent: chrome })
    const { events } = enrich([toTelemetry('on'), toTelemetry('shop')], {
      project: { ...shop, id: '' },
      apps,
    })
    const properties = events.map((event) => event.kind === 'event' && event.row.properties)
    expect(properties).toEqual([expect.stringContaining('Chrome'), '{}'])
  })

  test('of no part changes nothing', () => {
    const enricher = createEnricher({
      defaults: { parts: [], bots: 'drop' },
      counts: createEnrichCounts(),
      misses: unlimited,
    })
    const given = {
      events: [toEvent(), toLinkEvent({ user_agent: 'Twitterbot/1.0' })],
      rejections: [],
      dropped: 1,
    }
    const before = structuredClone(given)
    expect(enricher.enrich(given, { project: shop })).toBe(given)
    expect(given).toEqual(before)
  })
})

test('adds all parts to the JSON without parsing it', () => {
  const { fill } = createTestEnricher(['user_agent', 'geo', 'bots', 'utm'])
  const properties = { $current_url: 'https://a.example/?utm_source=x', text: '"}\\' }
  expect(fill(toCaptureEvent(properties, { user_agent: chrome, ip: '89.160.20.112' }))).toEqual({
    ...properties,
    $browser: 'Chrome',
    $browser_version: 126,
    $os: 'Windows',
    $os_version: '10',
    $device_type: 'Desktop',
    $geoip_city_name: 'Linköping',
    $geoip_country_name: 'Sweden',
    $geoip_country_code: 'SE',
    $geoip_subdivision_1_name: 'Östergötland County',
    $geoip_subdivision_1_code: 'E',
    $geoip_time_zone: 'Europe/Stockholm',
    utm_source: 'x',
  })
})

describe('the cache', () => {
  function createTestCache({ left = 1000, entriesMax = 8 } = {}) {
    const counts = { hits: 0, misses: 0, skipped: 0 }
    const computed: string[] = []
    const budget = { left, leftMs: 1e6 }
    const cache = createTextCache({
      compute(text) {
        computed.push(text)
        return { text }
      },
      unknown: { text: '' },
      ...{ entriesMax, charsMax: 4, counts, budget },
    })
    return { cache, counts, computed, budget }
  }

  test('computes a text once, and counts', () => {
    const { cache, counts, computed } = createTestCache()
    expect(
      [cache.of('a'), cache.of('b'), cache.of('a'), cache.of('a')].map(({ text }) => text),
    ).toEqual(['a', 'b', 'a', 'a'])
    expect(computed).toEqual(['a', 'b'])
    expect(counts).toEqual({ hits: 2, misses: 2, skipped: 0 })
  })

  test('looks at the first characters only', () => {
    const { cache, computed } = createTestCache()
    expect(cache.of('abcdefgh').text).toBe('abcd')
    expect(cache.of('abcdXYZ').text).toBe('abcd')
    expect(computed).toEqual(['abcd'])
  })

  test('stays within its entries, however many texts come', () => {
    const { cache, counts } = createTestCache({ left: 1e6 })
    for (let round = 0; round < 2; round += 1)
      for (let text = 0; text < 1000; text += 1) cache.of(String(text))
    // Of 1000 texts at most 8 can be remembered.
    expect(counts.misses).toBeGreaterThan(1980)
  })

  test('computes nothing once the time of the budget is used up', () => {
    const { cache, counts, budget } = createTestCache()
    cache.of('a')
    expect(budget.leftMs).toBeLessThan(1e6)
    budget.leftMs = 0
    cache.of('a')
    cache.of('b')
    expect(counts).toEqual({ hits: 1, misses: 1, skipped: 1 })
  })

  test('charges little for a pause: a first text compiles the patterns', () => {
    const budget = { left: 10, leftMs: 1.5 }
    const cache = createTextCache({
      compute(text) {
        const endMs = performance.now() + 5
        while (performance.now() < endMs);
        return text
      },
      ...{ unknown: '', entriesMax: 8, charsMax: 4, budget },
      counts: { hits: 0, misses: 0, skipped: 0 },
    })
    expect([cache.of('a'), cache.of('b'), cache.of('c')]).toEqual(['a', 'b', ''])
  })

  test('computes no more than the budget, and remembers nothing of what it skips', () => {
    const { cache, counts, budget } = createTestCache({ left: 1 })
    expect(
      [cache.of('a'), cache.of('b'), cache.of('b'), cache.of('a')].map(({ text }) => text),
    ).toEqual(['a', '', '', 'a'])
    expect(counts).toEqual({ hits: 1, misses: 1, skipped: 2 })
    budget.left = 1
    expect(cache.of('b').text).toBe('b')
  })

  test('tells texts apart that differ in one lone surrogate or a NUL', () => {
    const { cache } = createTestCache()
    const texts = ['\ud800', '\ud801', 'a\0', 'a', 'ä', '中']
    expect(texts.map((text) => cache.of(text).text)).toEqual(texts)
    expect(texts.map((text) => cache.of(text).text)).toEqual(texts)
  })
})

test('counts of another thread are added once', () => {
  const [total, theirs] = [createEnrichCounts(), createEnrichCounts()]
  theirs.userAgent.hits = 2
  theirs.bots.dropped = 3
  addCounts(total, takeCounts(theirs))
  addCounts(total, takeCounts(theirs))
  expect(total.userAgent.hits).toBe(2)
  expect(total.bots).toEqual({ marked: 0, dropped: 3 })
})
