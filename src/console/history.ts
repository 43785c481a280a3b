import {
  type ContractFigures,
  contracts,
  type Figures,
  type LatencyBucket,
  type SinkFigures,
} from './figures.ts'

/** One point of the plots: rates and latencies since the point before it, and gauges of its moment. */
export type Point = {
  at_ms: number
  rates: Record<string, Rates>
  latency: Record<string, Latency | null>
  /** Events that each sink does not have yet. */
  waiting: Record<string, number>
  journal_bytes: number
  disk_free_bytes: number
  rss_bytes: number
  sockets: number
  requests_in_flight: number
}

/** All per second. `limited` are events beyond a quota or a rate. */
type Rates = Record<(typeof rateNames)[number], number>

const rateNames = [
  ...(['requests', 'refused_requests', 'events', 'accepted', 'duplicate'] as const),
  ...(['rejected', 'limited'] as const),
] as const

/** Null: above the largest bucket. */
type Latency = { p50_ms: number | null; p95_ms: number | null; p99_ms: number | null }

export type History = {
  /** Reads the figures now and adds a point. */
  sample(): Promise<void>
  /** The points of the last minutes, oldest first. */
  points(minutes: number): Point[]
  /** The figures of the last sample that is at least one second old. */
  last(nowMs: number): Figures | undefined
  close(): void
}

export const intervalMs = 5000
const pointsMax = (60 * 60 * 1000) / intervalMs

/** The last hour, in memory. `read` parses the metrics once per interval. */
export function createHistory({ read, isSampling }: HistoryOptions): History {
  const points: Point[] = []
  let recent: Figures[] = []

  async function sample(): Promise<void> {
    const figures = await read()
    const before = recent.at(-1)
    recent = [...recent.slice(-1), figures]
    if (before === undefined) return
    points.push(toPoint(before, figures))
    if (points.length > pointsMax) points.shift()
  }

  // A failed sample leaves a gap in the plots.
  const timer = isSampling
    ? setInterval(() => void sample().catch(() => {}), intervalMs)
    : undefined
  timer?.unref()
  if (isSampling) void sample().catch(() => {})
  return {
    sample,
    points: (minutes) => points.slice(-Math.ceil((minutes * 60_000) / intervalMs)),
    last: (nowMs) => recent.findLast(({ atMs }) => nowMs - atMs >= 1000),
    close: () => clearInterval(timer),
  }
}

type HistoryOptions = {
  read(): Promise<Figures>
  /** Of several processes one samples, because the figures are the sum over all. */
  isSampling: boolean
}

export function toPoint(before: Figures, now: Figures): Point {
  const seconds = Math.max(0.001, (now.atMs - before.atMs) / 1000)
  const rates = contracts.map((name) => [name, toRates(name, { before, now, seconds })] as const)
  const buckets = contracts.map((name) => {
    const earlier = before.contracts[name]!.buckets
    return [name, toNewRequests(earlier, now.contracts[name]!.buckets)] as const
  })
  const all = buckets.map(([, one]) => one).reduce(addBuckets, [])
  const { gauges, sinks } = now
  return {
    at_ms: now.atMs,
    rates: { ...Object.fromEntries(rates), all: rates.map(([, one]) => one).reduce(addRates) },
    latency: Object.fromEntries(
      [...buckets, ['all', all] as const].map(([name, one]) => [name, toLatency(one)]),
    ),
    waiting: Object.fromEntries(
      Object.entries(sinks).map(([name, sink]: [string, SinkFigures]) => [
        name,
        sink.waitingEvents,
      ]),
    ),
    journal_bytes: gauges.journalBytes,
    disk_free_bytes: gauges.diskFreeBytes,
    rss_bytes: gauges.rssBytes,
    sockets: gauges.sockets,
    requests_in_flight: gauges.intakeRequests,
  }
}

type Interval = { before: Figures; now: Figures; seconds: number }

function toRates(contract: string, { before, now, seconds }: Interval): Rates {
  const [from, to] = [before.contracts[contract]!, now.contracts[contract]!]
  // A total can fall when a process ends before its counters were read.
  const perSecond = (by: (figures: ContractFigures) => number) =>
    Math.max(0, by(to) - by(from)) / seconds
  const limitedFrom = toLimited(before, contract)
  const limitedTo = toLimited(now, contract)
  const rejected = toRejectedSum(now, contract) - toRejectedSum(before, contract)
  return {
    requests: perSecond((figures) => figures.requests),
    refused_requests: perSecond((figures) => figures.refusedRequests),
    events: perSecond((figures) => figures.received),
    accepted: perSecond((figures) => figures.accepted),
    duplicate: perSecond((figures) => figures.duplicate),
    rejected: Math.max(0, rejected) / seconds,
    limited: Math.max(0, limitedTo - limitedFrom) / seconds,
  }
}

/** Events beyond a quota, or of a request beyond a rate. */
export const toLimited = ({ contracts, rejected }: Figures, contract: string) =>
  contracts[contract]!.quotaDropped + (rejected[contract]?.rate_limited ?? 0)

export const toRejectedSum = ({ rejected }: Figures, contract: string) =>
  Object.values(rejected[contract] ?? {}).reduce((sum, events) => sum + events, 0)

const addRates = (a: Rates, b: Rates): Rates =>
  Object.fromEntries(rateNames.map((name) => [name, a[name] + b[name]])) as Rates

function toNewRequests(
  before: readonly LatencyBucket[],
  now: readonly LatencyBucket[],
): LatencyBucket[] {
  return now.map(({ upTo, requests }, at) => {
    return { upTo, requests: Math.max(0, requests - (before[at]?.requests ?? 0)) }
  })
}

function addBuckets(a: readonly LatencyBucket[], b: readonly LatencyBucket[]): LatencyBucket[] {
  if (a.length === 0) return [...b]
  return a.map(({ upTo, requests }, at) => ({ upTo, requests: requests + (b[at]?.requests ?? 0) }))
}

/** Null without a request. Within a bucket the requests count as spread evenly. */
function toLatency(buckets: readonly LatencyBucket[]): Latency | null {
  const total = buckets.reduce((sum, { requests }) => sum + requests, 0)
  if (total === 0) return null
  const [p50_ms, p95_ms, p99_ms] = [0.5, 0.95, 0.99].map((share) =>
    toQuantile(buckets, share * total),
  )
  return { p50_ms: p50_ms!, p95_ms: p95_ms!, p99_ms: p99_ms! }
}

function toQuantile(buckets: readonly LatencyBucket[], rank: number): number | null {
  let below = 0
  let from = 0
  for (const { upTo, requests } of buckets) {
    if (below + requests >= rank && requests > 0) {
      if (upTo === Number.POSITIVE_INFINITY) return null
      return (from + ((rank - below) / requests) * (upTo - from)) * 1000
    }
    below += requests
    from = upTo
  }
  return null
}
