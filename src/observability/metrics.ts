import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client'
import type { ContractCounters } from './event-counters.ts'
import { Timings } from './timings.ts'

/** Upper bounds in seconds: the promise is P95 below 0.2 s, a commit is below 1 ms. */
const requestSeconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 5]
const commitSeconds = [0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 10]

/** What is read when somebody asks; nothing here is touched by a request but `observe` and `startCommit`. */
export type MetricsParts = {
  byContract: Readonly<Record<string, ContractCounters>>
  /** Gauges and counters of the other parts, by metric name. */
  readings: readonly Reading[]
}

/** One number, or one per label value. */
export type Reading = {
  name: string
  help: string
  type: 'gauge' | 'counter'
  labels?: readonly string[]
  read(): readonly { labels?: Record<string, string>; value: number }[]
}

export type Metrics = {
  observe(protocol: string, status: number, ms: number): void
  /** Times one group commit, from this call to that of what it returns. */
  startCommit(): () => void
  text(): Promise<{ type: string; text: string }>
}

export function createMetrics({ byContract, readings }: MetricsParts): Metrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  // Bun walks the whole heap for these, on the thread that serves: 80 ms for a million objects.
  for (const size of ['total', 'used', 'available'])
    registry.removeSingleMetric(`nodejs_heap_space_size_${size}_bytes`)
  const latency = new Timings({
    name: 'spillway_request_seconds',
    help: 'Time from the first byte of a request to its reply',
    labelNames: ['contract', 'status'],
    upperBounds: requestSeconds,
    registry,
  })
  const commits = new Timings({
    name: 'spillway_journal_commit_seconds',
    help: 'Time of a group commit: write and sync',
    labelNames: [],
    upperBounds: commitSeconds,
    registry,
  })
  for (const reading of [...eventReadings(byContract), ...readings]) register(registry, reading)

  return {
    observe: (protocol, status, ms) => latency.observe(ms / 1000, protocol, status),
    startCommit() {
      const startedMs = performance.now()
      return () => commits.observe((performance.now() - startedMs) / 1000)
    },
    text: async () => ({ type: registry.contentType, text: await registry.metrics() }),
  }
}

/** A counter that is read rather than counted is set anew at each scrape. */
function register(registry: Registry, { name, help, type, labels = [], read }: Reading): void {
  const options = { name, help, labelNames: [...labels], registers: [registry] }
  if (type === 'gauge') {
    new Gauge({
      ...options,
      collect() {
        for (const { labels: values = {}, value } of read()) this.set(values, value)
      },
    })
    return
  }
  new Counter({
    ...options,
    collect() {
      this.reset()
      for (const { labels: values = {}, value } of read()) this.inc(values, value)
    },
  })
}

const stages = [
  'received',
  'committed',
  'accepted',
  'duplicate',
  'dropped',
  'quotaDropped',
  'overflowed',
] as const
const metricNames: Record<(typeof stages)[number], string> = {
  received: 'spillway_events_received_total',
  committed: 'spillway_events_committed_total',
  accepted: 'spillway_events_accepted_total',
  duplicate: 'spillway_events_duplicate_total',
  dropped: 'spillway_events_dropped_total',
  quotaDropped: 'spillway_events_quota_dropped_total',
  overflowed: 'spillway_events_overflowed_total',
}

function eventReadings(byContract: Readonly<Record<string, ContractCounters>>): Reading[] {
  const byStage = stages.map(
    (stage): Reading => ({
      name: metricNames[stage],
      help: `Events ${stage}, by contract`,
      type: 'counter',
      labels: ['contract'],
      read: () =>
        Object.entries(byContract).map(([contract, counters]) => ({
          labels: { contract },
          value: counters[stage],
        })),
    }),
  )
  const rejected: Reading = {
    name: 'spillway_events_rejected_total',
    help: 'Events rejected, alone or with their request, by contract and reason',
    type: 'counter',
    labels: ['contract', 'reason'],
    read: () =>
      Object.entries(byContract).flatMap(([contract, counters]) =>
        Object.entries(counters.rejected).map(([reason, value]) => ({
          labels: { contract, reason },
          value: value ?? 0,
        })),
      ),
  }
  return [...byStage, rejected]
}
