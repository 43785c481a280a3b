import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client'
import { version } from '../../package.json'
import { Timings } from './timings.ts'

/** Upper bounds in seconds. Targets: a reply within 0.2 s (P95), a commit within 1 ms. */
const requestSeconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 5]
/** Target: no request holds the serving thread for more than 50 ms. */
export const loopSeconds = [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 5]
const commitSeconds = [0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 10]

export type Metrics = {
  /** Registers further metrics, when their part is open. */
  add(readings: readonly Reading[]): void
  observe(protocol: string, status: number, ms: number): void
  /** Times one group commit, from this call to the call of the returned function. */
  startCommit(): () => void
  text(): Promise<{ type: string; text: string }>
}

/** A gauge or counter of another part: one number, or one for each combination of labels. It is read at a scrape. */
export type Reading = {
  name: string
  help: string
  type: 'gauge' | 'counter'
  labels?: readonly string[]
  read(): readonly { labels?: Record<string, string>; value: number }[]
}

/** Requests only touch `observe` and `startCommit`; everything else is read at a scrape. */
export function createMetrics(readings: readonly Reading[]): Metrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  // For these Bun walks the whole heap on the serving thread. Measured: 80 ms for a million objects.
  for (const size of ['total', 'used', 'available'])
    registry.removeSingleMetric(`nodejs_heap_space_size_${size}_bytes`)
  // Gauges with the suffix of a counter. Bun has no handles and requests of libuv.
  for (const kind of ['handles', 'requests', 'resources'])
    for (const suffix of ['', '_total'])
      registry.removeSingleMetric(`nodejs_active_${kind}${suffix}`)
  const latency = new Timings({
    name: 'spillway_request_seconds',
    help: 'Seconds from the first byte of a request to its reply, by contract and HTTP status',
    labelNames: ['contract', 'status'],
    upperBounds: requestSeconds,
    registry,
  })
  const commits = new Timings({
    name: 'spillway_journal_commit_seconds',
    help: 'Seconds of a group commit of the journal: write and sync',
    labelNames: [],
    upperBounds: commitSeconds,
    registry,
  })
  const loop = new Timings({
    name: 'spillway_loop_delay_seconds',
    help: 'Delays of a timer on the serving thread: how long other work held the thread',
    labelNames: [],
    upperBounds: loopSeconds,
    registry,
  })
  observeLoop((seconds) => loop.observe(seconds))
  const add = (more: readonly Reading[]) => {
    for (const reading of more) register(registry, reading)
  }
  add(readings)
  add([
    {
      name: 'spillway_build_info',
      help: 'Always 1; its labels are the versions of the server and of Bun',
      type: 'gauge',
      labels: ['version', 'bun'],
      read: () => [{ labels: { version, bun: Bun.version }, value: 1 }],
    },
    gauge(
      'spillway_metrics_time_seconds',
      'Unix time of this text; requests within one second share a text',
      () => Date.now() / 1000,
    ),
  ])
  return {
    add,
    observe: (protocol, status, ms) => latency.observe(ms / 1000, protocol, status),
    startCommit() {
      const startedMs = performance.now()
      return () => commits.observe((performance.now() - startedMs) / 1000)
    },
    text: async () => ({ type: registry.contentType, text: await registry.metrics() }),
  }
}

/** Measured: 0.4 % of a core. prom-client only has the longest delay since the last scrape, by any client. */
const tickMs = 10
/** Most timers are somewhat late. */
const delayMsMin = 5

function observeLoop(observe: (seconds: number) => void): void {
  let dueMs = performance.now() + tickMs
  const tick = () => {
    const nowMs = performance.now()
    if (nowMs - dueMs >= delayMsMin) observe((nowMs - dueMs) / 1000)
    dueMs = nowMs + tickMs
  }
  setInterval(tick, tickMs).unref()
}

/** prom-client can only increment a counter, so a counter that is read is reset at each scrape. */
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

const single = (value: number) => [{ value }]

export function gauge(name: string, help: string, value: () => number): Reading {
  return { name, help, type: 'gauge', read: () => single(value()) }
}

/** A counter for each reason. */
export function byReason(
  name: string,
  help: string,
  counts: () => Readonly<Record<string, number>>,
): Reading {
  const read = () =>
    Object.entries(counts()).map(([reason, value]) => ({ labels: { reason }, value }))
  return { name, help, type: 'counter', labels: ['reason'], read }
}

export function counter(name: string, help: string, value: () => number): Reading {
  return { name, help, type: 'counter', read: () => single(value()) }
}
