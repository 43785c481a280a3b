/** A wrk script, and the rows that one of its requests creates. */
export type Scenario = { script: string; eventsPerRequest: number; table: string }

export const scenarios: Record<string, Scenario> = {
  single: { script: 'single.lua', eventsPerRequest: 1, table: 'events' },
  batch: { script: 'batch.lua', eventsPerRequest: 50, table: 'events' },
  'batch-gzip': { script: 'batch-gzip.lua', eventsPerRequest: 50, table: 'events' },
  form: { script: 'form.lua', eventsPerRequest: 1, table: 'events' },
  recording: { script: 'recording.lua', eventsPerRequest: 1, table: 'recordings' },
  link: { script: 'link.lua', eventsPerRequest: 1, table: 'link_events' },
  report: { script: 'report.lua', eventsPerRequest: 10, table: 'events' },
  telemetry: { script: 'telemetry.lua', eventsPerRequest: 10, table: 'events' },
}

/** Only `batch-gzip` uses the pool. */
export const needsPool = (names: readonly string[]) => names.includes('batch-gzip')
