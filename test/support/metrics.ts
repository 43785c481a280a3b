import { until } from './until.ts'

/** Reads a metric of `/metrics`: the sum over all series of that name that have the given labels. */
export type Scrape = (name: string, labels?: Record<string, string>) => number

export async function scrape(url: string, adminToken?: string): Promise<Scrape> {
  const text = await readMetrics(url, adminToken)
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  const samples = lines.map(toSample)
  return (name, labels = {}) => {
    const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`)
    const found = samples.filter(
      (sample) => sample.name === name && wanted.every((pair) => sample.labels.includes(pair)),
    )
    return found.reduce((sum, { value }) => sum + value, 0)
  }
}

/** The text of `/metrics`, not older than this call. The server makes one a second at most. */
export async function readMetrics(url: string, adminToken?: string): Promise<string> {
  const calledSeconds = Date.now() / 1000
  // A new connection: with WORKERS a kept one may lead to a worker that has ended since.
  const close = { connection: 'close' }
  const headers = adminToken ? { ...close, authorization: `Bearer ${adminToken}` } : close
  const readFresh = async () => {
    const response = await fetch(`${url}/metrics`, { headers })
    const text = await response.text()
    const [, madeSeconds] = /^spillway_metrics_time_seconds (\S+)$/m.exec(text) ?? []
    return madeSeconds === undefined || Number(madeSeconds) >= calledSeconds ? text : undefined
  }
  return await until(readFresh, { pauseMs: 50, what: 'a fresh text of the metrics' })
}

function toSample(line: string) {
  const [, name = '', labels = '', value = ''] = /^(\w+)(?:\{(.*)\})? (\S+)/.exec(line) ?? []
  return { name, labels: labels.split(','), value: Number(value) }
}

/** The difference of each equation of the balance sheet; 0 means balanced. Only valid while no request is in flight. */
export function toImbalances(read: Scrape, sinks: readonly string[]): Record<string, number> {
  const fates = ['accepted', 'rejected', 'dropped', 'duplicate', 'quota_dropped']
  const fated = fates.reduce((sum, fate) => sum + read(`spillway_events_${fate}_total`), 0)
  const accepted = read('spillway_events_accepted_total')
  const ofSinks = sinks.map((sink) => {
    const taken = ['shipped', 'dead_lettered'].reduce(
      (sum, stage) => sum + read(`spillway_sink_${stage}_total`, { sink }),
      read('spillway_sink_waiting_events', { sink }),
    )
    return [sink, accepted + read('spillway_sink_recovered_total', { sink }) - taken] as const
  })
  return {
    intake: read('spillway_events_received_total') - fated,
    commits: read('spillway_events_committed_total') - accepted,
    ...Object.fromEntries(ofSinks),
  }
}
