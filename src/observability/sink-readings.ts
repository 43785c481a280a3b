import { counter, type Reading } from './metrics.ts'

/** The metrics of delivery: one series for each sink. */
export function sinkReadings(shipping: () => Shipping): Reading[] {
  const bySink = (pick: (sink: SinkReading) => number) => () =>
    Object.entries(shipping().sinks).map(([sink, reading]) => ({
      labels: { sink },
      value: pick(reading),
    }))
  const bySinkAnd = (label: string, pick: (sink: SinkReading) => Counts) => () =>
    Object.entries(shipping().sinks).flatMap(([sink, reading]) =>
      Object.entries(pick(reading)).map(([name, value]) => ({
        labels: { sink, [label]: name },
        value,
      })),
    )
  const total = (name: string, help: string) => ({ name, help, type: 'counter' }) as const
  return [
    {
      ...total(
        'spillway_sink_recovered_total',
        'Events that the start found in the journal, not yet delivered, by contract',
      ),
      labels: ['sink', 'contract'],
      read: bySinkAnd('contract', ({ recovered }) => recovered),
    },
    {
      ...total('spillway_sink_shipped_total', 'Events on the sink’s disk, by contract'),
      labels: ['sink', 'contract'],
      read: bySinkAnd('contract', ({ shipped }) => shipped),
    },
    {
      ...total(
        'spillway_sink_dead_lettered_total',
        'Events stored as dead letters because the sink refuses them, by reason',
      ),
      labels: ['sink', 'reason'],
      read: bySinkAnd('reason', ({ deadLettered }) => deadLettered),
    },
    {
      ...total('spillway_sink_retries_total', 'Sends that were repeated, by reason'),
      labels: ['sink', 'reason'],
      read: bySinkAnd('reason', ({ retries }) => retries),
    },
    {
      ...total('spillway_sink_batches_total', 'Batches that the sink has stored'),
      labels: ['sink'],
      read: bySink(({ batches }) => batches),
    },
    {
      ...bySinkGauge(
        'spillway_sink_up',
        '1 if the last send to the sink worked, 0 while sends fail; events wait in the journal then',
      ),
      read: bySink(({ isUp }) => (isUp ? 1 : 0)),
    },
    {
      ...bySinkGauge(
        'spillway_sink_lag_seconds',
        'How long the oldest record that the sink lacks has waited, counted from the start of the process at most; 0 if it lacks none',
      ),
      read: bySink(({ lagMs }) => lagMs / 1000),
    },
    {
      ...bySinkGauge(
        'spillway_sink_last_success_timestamp_seconds',
        'Unix time at which the sink last stored a batch; 0 before the first one of this process',
      ),
      read: bySink(({ lastSuccessMs }) => lastSuccessMs / 1000),
    },
    {
      name: 'spillway_sink_waiting_events',
      help: 'Committed and recovered events that are neither shipped nor dead letters yet',
      type: 'gauge',
      labels: ['sink'],
      read: bySink(({ waitingEvents }) => waitingEvents),
    },
    {
      name: 'spillway_sink_waiting_records',
      help: 'Journal records behind the sink’s cursor, dead letters of the ingest included',
      type: 'gauge',
      labels: ['sink'],
      read: bySink(({ waiting }) => waiting),
    },
    counter(
      'spillway_shipper_restarts_total',
      'Restarts of the delivery thread after it ended unexpectedly',
      () => shipping().threadRestarts,
    ),
  ]
}

type Shipping = { sinks: Record<string, SinkReading>; threadRestarts: number }

type Counts = Readonly<Record<string, number>>

export type SinkReading = {
  recovered: Counts
  shipped: Counts
  deadLettered: Counts
  retries: Counts
  batches: number
  waitingEvents: number
  waiting: number
  isUp: boolean
  lagMs: number
  /** 0 before the first. */
  lastSuccessMs: number
}

const bySinkGauge = (name: string, help: string) =>
  ({ name, help, type: 'gauge', labels: ['sink'] }) as const
