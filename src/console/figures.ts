import { parseMetrics } from '../observability/sum-metrics.ts'

/**
 * The figures of the console, read from the text of the metrics: one source for both, and with
 * WORKERS it is the sum over all processes already.
 */
export type Figures = {
  atMs: number
  contracts: Record<string, ContractFigures>
  /** By contract, then by reason. */
  rejected: Record<string, Record<string, number>>
  altered: AlteredFigure[]
  sinks: Record<string, SinkFigures>
  gauges: Record<keyof typeof gaugeNames, number>
}

/** Events that are stored otherwise than they were sent, or not again. */
type AlteredFigure = { project: string; kind: string; events: number }

export type ContractFigures = Record<keyof typeof contractNames, number> & {
  requests: number
  refusedRequests: number
  /** Requests by upper bound in seconds; the last one is infinite. Not cumulative. */
  buckets: LatencyBucket[]
}

export type LatencyBucket = { upTo: number; requests: number }

export type SinkFigures = Record<'shipped' | 'deadLettered' | 'retries' | 'recovered', number> &
  Record<'waitingEvents' | 'waitingRecords', number>

export const contracts = ['capture', 'link', 'report', 'telemetry'] as const

const contractNames = {
  received: 'spillway_events_received_total',
  committed: 'spillway_events_committed_total',
  accepted: 'spillway_events_accepted_total',
  duplicate: 'spillway_events_duplicate_total',
  dropped: 'spillway_events_dropped_total',
  quotaDropped: 'spillway_events_quota_dropped_total',
  overflowed: 'spillway_events_overflowed_total',
} as const

const sinkNames = {
  recovered: 'spillway_sink_recovered_total',
  shipped: 'spillway_sink_shipped_total',
  deadLettered: 'spillway_sink_dead_lettered_total',
  retries: 'spillway_sink_retries_total',
  waitingEvents: 'spillway_sink_waiting_events',
  waitingRecords: 'spillway_sink_waiting_records',
} as const

const gaugeNames = {
  journalBytes: 'spillway_journal_bytes',
  journalBytesMax: 'spillway_journal_max_bytes',
  journalOldestSeconds: 'spillway_journal_oldest_seconds',
  diskBytes: 'spillway_disk_bytes',
  diskFreeBytes: 'spillway_disk_free_bytes',
  rssBytes: 'process_resident_memory_bytes',
  intakeBytes: 'spillway_intake_bytes',
  intakeRequests: 'spillway_intake_requests',
  sockets: 'spillway_sockets',
  processesReady: 'spillway_processes_ready',
  processRestarts: 'spillway_process_restarts_total',
} as const

export function parseFigures(text: string, atMs: number): Figures {
  const samples = [...parseMetrics(text).values].map(([name, { value }]) => toSample(name, value))
  const gaugeOf = (name: string) => samples.find((one) => one.name === name)?.value ?? 0
  const gauges = Object.fromEntries(
    Object.entries(gaugeNames).map(([key, name]) => [key, gaugeOf(name)]),
  ) as Figures['gauges']
  return {
    atMs,
    gauges,
    contracts: Object.fromEntries(contracts.map((name) => [name, toContract(samples, name)])),
    rejected: toRejected(samples),
    altered: toAltered(samples),
    sinks: toSinks(samples),
  }
}

type Sample = { name: string; labels: Record<string, string>; value: number }

function toSample(written: string, value: number): Sample {
  const brace = written.indexOf('{')
  if (brace < 0) return { name: written, labels: {}, value }
  const pairs = written.slice(brace).matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)
  const labels = Object.fromEntries([...pairs].map(([, name, text]) => [name, text]))
  return { name: written.slice(0, brace), labels, value }
}

const sumOf = (samples: readonly Sample[]) => samples.reduce((sum, { value }) => sum + value, 0)

function toContract(all: readonly Sample[], contract: string): ContractFigures {
  const samples = all.filter(({ labels }) => labels.contract === contract)
  const totals = Object.fromEntries(
    Object.entries(contractNames).map(([key, name]) => [
      key,
      sumOf(samples.filter((one) => one.name === name)),
    ]),
  ) as Record<keyof typeof contractNames, number>
  const counts = samples.filter(({ name }) => name === 'spillway_request_seconds_count')
  return {
    ...totals,
    requests: sumOf(counts),
    refusedRequests: sumOf(counts.filter(({ labels }) => Number(labels.status) >= 400)),
    buckets: toBuckets(samples.filter(({ name }) => name === 'spillway_request_seconds_bucket')),
  }
}

/** Prometheus counts cumulatively, by status. */
function toBuckets(samples: readonly Sample[]): LatencyBucket[] {
  const byBound = new Map<number, number>()
  for (const { labels, value } of samples) {
    const upTo = labels.le === '+Inf' ? Number.POSITIVE_INFINITY : Number(labels.le)
    byBound.set(upTo, (byBound.get(upTo) ?? 0) + value)
  }
  let below = 0
  return [...byBound]
    .sort(([a], [b]) => a - b)
    .map(([upTo, cumulative]) => {
      const requests = cumulative - below
      below = cumulative
      return { upTo, requests }
    })
}

function toRejected(samples: readonly Sample[]): Figures['rejected'] {
  const rejected: Figures['rejected'] = {}
  for (const { name, labels, value } of samples) {
    const { contract = '', reason = '' } = labels
    if (name !== 'spillway_events_rejected_total' || value === 0) continue
    rejected[contract] = { ...rejected[contract], [reason]: value }
  }
  return rejected
}

function toAltered(samples: readonly Sample[]): AlteredFigure[] {
  return samples.flatMap(({ name, labels: { project = '', kind = '' }, value: events }) =>
    name === 'spillway_events_altered_total' && events > 0 ? [{ project, kind, events }] : [],
  )
}

function toSinks(samples: readonly Sample[]): Figures['sinks'] {
  const ofSinks = samples.filter(({ labels }) => labels.sink !== undefined)
  const names = [...new Set(ofSinks.map(({ labels }) => labels.sink!))]
  const toSink = (sink: string) => {
    const own = ofSinks.filter(({ labels }) => labels.sink === sink)
    const entries = Object.entries(sinkNames).map(([key, name]) => [
      key,
      sumOf(own.filter((one) => one.name === name)),
    ])
    return [sink, Object.fromEntries(entries)]
  }
  return Object.fromEntries(names.map(toSink))
}
