import type { enrichPartNames } from '../config/checks.ts'
import type { Config } from '../config/config.ts'
import type { Log } from '../core/log.ts'
import { addCounts, createEnrichCounts, type EnrichCounts } from '../ingest/enrich/counts.ts'
import {
  createEnricher,
  type Enrich,
  type EnrichmentDefaults,
  type EnrichmentMessage,
  smallMisses,
} from '../ingest/enrich/enrich.ts'
import { type GeoFile, openGeoFile } from '../ingest/enrich/geo-file.ts'
import type { EnrichReading } from '../observability/enrich-readings.ts'
import type { Projects } from '../projects/projects.ts'
import type { Closer } from './closer.ts'

export type Enrichment = {
  enrich: Enrich
  /** For the body thread, which has an enricher of its own. */
  toMessage(): EnrichmentMessage
  addCounts(counts: EnrichCounts): void
  reading(): EnrichReading
}

type EnrichmentOptions = {
  config: Config
  projects: Pick<Projects, 'view' | 'onChange'>
  log: Log
  closer: Closer
}

/**
 * Undefined if no project can want it: then the pipeline has no such step. GEOIP_FILE is read only
 * if a project wants `geo`, also one that an edit of the projects file adds.
 */
export async function openEnrichment(options: EnrichmentOptions): Promise<Enrichment | undefined> {
  const { config, projects, closer } = options
  const defaults = toDefaults(config)
  if (defaults.parts.length === 0 && projects.view().path === undefined) return undefined
  const geo = createGeoOpener(options, defaults)
  await geo.update()
  const unsubscribe = projects.onChange(() => void geo.update())
  closer.add('enrichment', async () => {
    unsubscribe()
    geo.close()
  })
  const counts = createEnrichCounts()
  const enricher = createEnricher({ defaults, counts, misses: smallMisses })
  return {
    enrich(normalised, senders) {
      enricher.useGeo(geo.file()?.current())
      return enricher.enrich(normalised, senders)
    },
    toMessage: () => ({ defaults, geo: geo.file()?.current() }),
    addCounts: (more) => addCounts(counts, more),
    reading: () => ({
      lookups: { user_agent: counts.userAgent, geo: counts.geo, utm: counts.utm },
      bots: counts.bots,
      geoFailures: counts.geo.failures,
      geoBuiltSeconds: geo.file()?.builtSeconds() ?? 0,
    }),
  }
}

/** Does not compile if the check of the setting allows a part that does not exist. */
function toDefaults({ ENRICH, ENRICH_BOTS: bots }: Config): EnrichmentDefaults {
  return { parts: ENRICH as (typeof enrichPartNames)[number][], bots }
}

function createGeoOpener(
  { config, projects, log }: EnrichmentOptions,
  { parts: usual }: EnrichmentDefaults,
) {
  const { GEOIP_FILE: path } = config
  let file: GeoFile | undefined
  let isOpening = false
  let isReported = false

  function isWanted(): boolean {
    const { entries } = projects.view()
    if (entries.length === 0) return usual.includes('geo')
    return entries.some(({ project }) => (project.enrichment?.parts ?? usual).includes('geo'))
  }

  async function update(): Promise<void> {
    if (isOpening || file !== undefined || !isWanted()) return
    if (path === undefined) {
      if (!isReported) log.warn({}, withoutFile)
      isReported = true
      return
    }
    isOpening = true
    file = await openGeoFile({ path, log })
  }
  return { update, file: () => file, close: () => file?.close() }
}

const withoutFile =
  'enrichment by `geo` is on, but GEOIP_FILE is not set: events get no country and city; set it, or leave out `geo`'
