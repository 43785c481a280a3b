import { counter, gauge, type Reading } from './metrics.ts'

/** The numbers of enrichment. Its parts count by themselves, on the serving and the body thread. */
export type EnrichReading = {
  /** Texts by part: found in the cache, computed, or not looked at. */
  lookups: Readonly<Record<string, { hits: number; misses: number; skipped: number }>>
  bots: { marked: number; dropped: number }
  geoFailures: number
  /** 0 without data. */
  geoBuiltSeconds: number
}

export function toEnrichReadings(read: () => EnrichReading): Reading[] {
  return [
    {
      name: 'spillway_enrich_lookups_total',
      help: 'Texts that enrichment looked up, by part and result: hit (cached), miss, or skipped (a request had too many different ones)',
      type: 'counter',
      labels: ['part', 'result'],
      read: () =>
        Object.entries(read().lookups).flatMap(([part, { hits, misses, skipped }]) => [
          { labels: { part, result: 'hit' }, value: hits },
          { labels: { part, result: 'miss' }, value: misses },
          { labels: { part, result: 'skipped' }, value: skipped },
        ]),
    },
    {
      name: 'spillway_enrich_bots_total',
      help: 'Events of robots, by outcome: marked, or dropped and not stored',
      type: 'counter',
      labels: ['outcome'],
      read: () =>
        Object.entries(read().bots).map(([outcome, value]) => ({ labels: { outcome }, value })),
    },
    counter(
      'spillway_geoip_failures_total',
      'Look-ups of an address that failed because GEOIP_FILE is damaged',
      () => read().geoFailures,
    ),
    gauge(
      'spillway_geoip_built_timestamp_seconds',
      'When the data of GEOIP_FILE was made; 0 without data',
      () => read().geoBuiltSeconds,
    ),
  ]
}
