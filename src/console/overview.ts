import { contracts, type Figures } from './figures.ts'
import { toAlterationHint, toHint } from './hints.ts'
import { toLimited, toPoint, toRejectedSum } from './history.ts'

/** The state of the sinks and the journal of one process, beside the figures. */
export type ProcessState = {
  sinks: Record<string, { isHealthy: boolean; lagRecords: number; lastError: string | null }>
  isJournalFull: boolean
  isJournalFailing: boolean
  /** When the oldest event that is not delivered was received. */
  oldestMs: number | null
  redis: 'off' | 'healthy' | 'unhealthy'
}

type OverviewOptions = {
  figures: Figures
  /** Undefined before the first sample: then there are no rates. */
  before: Figures | undefined
  states: readonly ProcessState[]
  durability: 'disk' | 'memory'
}

/** The present: rates of the last seconds, totals since the start, and whether the sums agree. */
export function toOverview({ figures, before, states, durability }: OverviewOptions) {
  const point = toPoint(before ?? figures, figures)
  const { gauges } = figures
  return {
    at_ms: figures.atMs,
    interval_seconds: before === undefined ? 0 : (figures.atMs - before.atMs) / 1000,
    rates: point.rates,
    latency: point.latency,
    totals: Object.fromEntries(contracts.map((name) => [name, toTotals(figures, name)])),
    rejected: toReasons(figures),
    altered: figures.altered
      .map((one) => ({ ...one, hint: toAlterationHint(one.kind) }))
      .sort((a, b) => b.events - a.events),
    sinks: toSinks(figures, states),
    journal: {
      bytes: gauges.journalBytes,
      bytes_max: gauges.journalBytesMax,
      full: states.some(({ isJournalFull }) => isJournalFull),
      failing: states.some(({ isJournalFailing }) => isJournalFailing),
      oldest_seconds: gauges.journalOldestSeconds,
      durability,
    },
    disk: { bytes: gauges.diskBytes, free_bytes: gauges.diskFreeBytes },
    memory: {
      rss_bytes: gauges.rssBytes,
      intake_bytes: gauges.intakeBytes,
      intake_requests: gauges.intakeRequests,
    },
    connections: { sockets: gauges.sockets, requests_in_flight: gauges.intakeRequests },
    processes: { ready: gauges.processesReady || 1, restarts: gauges.processRestarts },
    redis: toWorst(states.map(({ redis }) => redis)),
    flow: toFlow(figures),
  }
}

function toTotals(figures: Figures, contract: string) {
  const { received, committed, accepted, duplicate, dropped, ...rest } =
    figures.contracts[contract]!
  return {
    received,
    committed,
    accepted,
    duplicate,
    rejected: toRejectedSum(figures, contract),
    limited: toLimited(figures, contract),
    dropped,
    quota_dropped: rest.quotaDropped,
    overflowed: rest.overflowed,
    requests: rest.requests,
    refused_requests: rest.refusedRequests,
  }
}

function toReasons({ rejected }: Figures) {
  return Object.entries(rejected)
    .flatMap(([contract, reasons]) =>
      Object.entries(reasons).map(([reason, events]) => {
        return { contract, reason, events, hint: toHint(reason) }
      }),
    )
    .sort((a, b) => b.events - a.events)
}

function toSinks({ sinks }: Figures, states: readonly ProcessState[]) {
  const oldest = states.flatMap(({ oldestMs }) => oldestMs ?? [])
  return Object.entries(sinks).map(([name, sink]) => {
    const known = states.flatMap((state) => state.sinks[name] ?? [])
    const isHealthy = known.length > 0 && known.every((one) => one.isHealthy)
    return {
      name,
      state: isHealthy ? ('healthy' as const) : ('unhealthy' as const),
      waiting_events: sink.waitingEvents,
      lag_records: known.reduce((sum, { lagRecords }) => sum + lagRecords, 0),
      shipped_events: sink.shipped,
      dead_lettered_events: sink.deadLettered,
      retries: sink.retries,
      last_error: known.find(({ lastError }) => lastError !== null)?.lastError ?? null,
      oldest_ms: sink.waitingEvents > 0 && oldest.length > 0 ? Math.min(...oldest) : null,
    }
  })
}

function toWorst(states: readonly ProcessState['redis'][]): ProcessState['redis'] {
  if (states.includes('unhealthy')) return 'unhealthy'
  return states.includes('healthy') ? 'healthy' : 'off'
}

/**
 * The balance sheet as a flow. An event counts as received once its outcome is known, and as
 * committed once it is on disk, so while requests are in flight more may be committed than accepted.
 */
function toFlow(figures: Figures) {
  const sum = (by: (contract: (typeof contracts)[number]) => number) =>
    contracts.reduce((total, name) => total + by(name), 0)
  const of = (
    name: 'received' | 'accepted' | 'duplicate' | 'dropped' | 'quotaDropped' | 'committed',
  ) => sum((contract) => figures.contracts[contract]![name])
  const rejected = sum((contract) => toRejectedSum(figures, contract))
  const outcomes = [
    { id: 'accepted', label: 'accepted', events: of('accepted') },
    { id: 'duplicate', label: 'duplicates', events: of('duplicate') },
    { id: 'rejected', label: 'rejected', events: rejected },
    { id: 'dropped', label: 'ignored by contract', events: of('dropped') },
    { id: 'quota_dropped', label: 'beyond a quota', events: of('quotaDropped') },
  ]
  const committed = of('committed')
  const sinks = Object.entries(figures.sinks).map(([name, sink]) =>
    toSinkFlow(name, sink, committed),
  )
  const right = outcomes.reduce((total, { events }) => total + events, 0)
  const intake = toSum(
    'received = accepted + duplicates + rejected + ignored + beyond a quota',
    of('received'),
    right,
  )
  return {
    nodes: [
      { id: 'received', label: 'received', events: of('received') },
      ...outcomes,
      { id: 'committed', label: 'on disk', events: committed },
      ...sinks.flatMap(({ nodes }) => nodes),
    ],
    edges: [
      ...outcomes.map(({ id, events }) => ({ from: 'received', to: id, events })),
      { from: 'accepted', to: 'committed', events: of('accepted') },
      ...sinks.flatMap(({ edges }) => edges),
    ],
    sums: [intake, ...sinks.map(({ sum }) => sum)],
  }
}

function toSinkFlow(name: string, sink: Figures['sinks'][string], committed: number) {
  const parts = [
    { id: `${name}_shipped`, label: `in ${name}`, events: sink.shipped },
    { id: `${name}_dead`, label: `refused by ${name}`, events: sink.deadLettered },
    { id: `${name}_waiting`, label: `waiting for ${name}`, events: sink.waitingEvents },
  ]
  const recovered = { id: `${name}_recovered`, label: 'found at the start', events: sink.recovered }
  const right = parts.reduce((total, { events }) => total + events, 0)
  return {
    nodes: [recovered, ...parts],
    edges: [
      { from: recovered.id, to: 'committed', events: recovered.events },
      ...parts.map(({ id, events }) => ({ from: 'committed', to: id, events })),
    ],
    sum: toSum(
      `${name}: on disk + found at the start = shipped + refused + waiting`,
      committed + sink.recovered,
      right,
    ),
  }
}

const toSum = (name: string, left: number, right: number) => {
  return { name, left, right, agrees: left === right }
}
