import type { Reading } from './metrics.ts'

/** Where the numbers are asked for; `server.ts` hands it in. */
export type Sources = {
  journal(): {
    bytes: number
    bytesMax: number
    segments: number
    oldestMs: number | undefined
    commits: number
    eventsAppended: number
    damages: number
  }
  shipping(): {
    sinks: Record<string, SinkReading>
    ring: { bytes: number; blocks: number; bytesMax: number }
    threadRestarts: number
  }
  memory(): { bytes: number; requests: number; refused: number }
  scheduler(): { refused: number }
  seen(): { entries: number; forgotten: number }
  /** Markers on disk. */
  dedupKeys(): { bytes: number; unsaved: number; failures: number }
  disk(): { bytes: number; freeBytes: number }
  redis(): { calls: number; failures: number; skipped: number }
  isDurable: boolean
  now(): number
}

type Counts = Readonly<Record<string, number>>
type SinkReading = {
  recovered: Counts
  shipped: Counts
  deadLettered: Counts
  retries: Counts
  batches: number
  waitingEvents: number
  waiting: number
}

/** What the parts tell about themselves, as Prometheus reads it. Units stand in the names. */
export function toReadings(sources: Sources): Reading[] {
  return [
    ...journalReadings(sources),
    ...sinkReadings(sources),
    ...admissionReadings(sources),
    ...storageReadings(sources),
  ]
}

function journalReadings({ journal, shipping, isDurable, now }: Sources): Reading[] {
  const ageSeconds = () => {
    const { oldestMs } = journal()
    return oldestMs === undefined ? 0 : Math.max(0, now() - oldestMs) / 1000
  }
  return [
    gauge('spillway_durable', '1 where 200 means on disk', () => (isDurable ? 1 : 0)),
    gauge('spillway_journal_bytes', 'Journal on disk', () => journal().bytes),
    gauge('spillway_journal_max_bytes', 'Budget of the journal', () => journal().bytesMax),
    gauge('spillway_journal_segments', 'Segment files', () => journal().segments),
    gauge('spillway_journal_oldest_seconds', 'Age of the oldest undelivered event', ageSeconds),
    counter('spillway_journal_commits_total', 'Group commits', () => journal().commits),
    counter('spillway_journal_records_total', 'Records committed', () => journal().eventsAppended),
    counter('spillway_journal_damages_total', 'Damaged places found', () => journal().damages),
    gauge('spillway_ring_bytes', 'Ring buffer', () => shipping().ring.bytes),
    gauge('spillway_ring_max_bytes', 'Bound of the ring buffer', () => shipping().ring.bytesMax),
    gauge('spillway_ring_blocks', 'Commits in the ring buffer', () => shipping().ring.blocks),
  ]
}

function sinkReadings({ shipping }: Sources): Reading[] {
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
      ...total('spillway_sink_recovered_total', 'Events found in the journal at the start'),
      labels: ['sink', 'contract'],
      read: bySinkAnd('contract', ({ recovered }) => recovered),
    },
    {
      ...total('spillway_sink_shipped_total', 'Events on the sink’s disk, by contract'),
      labels: ['sink', 'contract'],
      read: bySinkAnd('contract', ({ shipped }) => shipped),
    },
    {
      ...total('spillway_sink_dead_lettered_total', 'Events that a sink cannot take, by reason'),
      labels: ['sink', 'reason'],
      read: bySinkAnd('reason', ({ deadLettered }) => deadLettered),
    },
    {
      ...total('spillway_sink_retries_total', 'Sends made again, by reason'),
      labels: ['sink', 'reason'],
      read: bySinkAnd('reason', ({ retries }) => retries),
    },
    {
      ...total('spillway_sink_batches_total', 'Batches shipped'),
      labels: ['sink'],
      read: bySink(({ batches }) => batches),
    },
    {
      name: 'spillway_sink_waiting_events',
      help: 'Committed events, recovered ones included, neither shipped nor dead letters yet',
      type: 'gauge',
      labels: ['sink'],
      read: bySink(({ waitingEvents }) => waitingEvents),
    },
    {
      name: 'spillway_sink_waiting_records',
      help: 'Journal records behind the sink’s cursor, dead letters of the intake included',
      type: 'gauge',
      labels: ['sink'],
      read: bySink(({ waiting }) => waiting),
    },
    counter('spillway_shipper_restarts_total', 'Unexpected ends of the shippers’ thread', () => {
      return shipping().threadRestarts
    }),
  ]
}

function admissionReadings({ memory, scheduler, seen, redis }: Sources): Reading[] {
  return [
    gauge(
      'spillway_intake_bytes',
      'Bodies in flight, with what they decode to',
      () => memory().bytes,
    ),
    gauge('spillway_intake_requests', 'Requests in flight', () => memory().requests),
    counter('spillway_intake_refused_total', 'Requests refused for room', () => memory().refused),
    counter('spillway_intake_shed_total', 'Requests refused for time', () => scheduler().refused),
    gauge('spillway_dedup_markers', 'Events remembered', () => seen().entries),
    counter('spillway_dedup_forgotten_total', 'Forgotten before 24 h', () => seen().forgotten),
    counter('spillway_redis_calls_total', 'Calls to Redis', () => redis().calls),
    counter('spillway_redis_failures_total', 'Calls that failed', () => redis().failures),
    counter('spillway_redis_skipped_total', 'Calls not made while it fails', () => redis().skipped),
  ]
}

function storageReadings({ dedupKeys, disk }: Sources): Reading[] {
  return [
    gauge('spillway_marker_bytes', 'Marker files', () => dedupKeys().bytes),
    counter('spillway_marker_failures_total', 'Writes that failed', () => dedupKeys().failures),
    counter('spillway_markers_unsaved_total', 'Given up unwritten', () => dedupKeys().unsaved),
    gauge('spillway_disk_bytes', 'Disk that holds DATA_DIR', () => disk().bytes),
    gauge('spillway_disk_free_bytes', 'Free on it', () => disk().freeBytes),
  ]
}

type RealtimeNumbers = {
  sockets: number
  subscriptions: number
  published: number
  sent: number
  /** By reason. */
  refused: Counts
  ended: Counts
}

export function toRealtimeReadings(stats: () => RealtimeNumbers): Reading[] {
  return [
    gauge('spillway_sockets', 'Sockets open', () => stats().sockets),
    gauge('spillway_subscriptions', 'Subscriptions', () => stats().subscriptions),
    counter('spillway_messages_published_total', 'From clients', () => stats().published),
    counter('spillway_messages_sent_total', 'To sockets', () => stats().sent),
    byReason('spillway_sockets_refused_total', 'Connections refused', () => stats().refused),
    byReason('spillway_sockets_ended_total', 'Sockets that we ended', () => stats().ended),
  ]
}

const single = (value: number) => [{ value }]

function gauge(name: string, help: string, value: () => number): Reading {
  return { name, help, type: 'gauge', read: () => single(value()) }
}

function byReason(name: string, help: string, counts: () => Counts): Reading {
  const read = () =>
    Object.entries(counts()).map(([reason, value]) => ({ labels: { reason }, value }))
  return { name, help, type: 'counter', labels: ['reason'], read }
}

function counter(name: string, help: string, value: () => number): Reading {
  return { name, help, type: 'counter', read: () => single(value()) }
}
