import type { AlteredCounts, ContractCounters, ProjectCounts } from './event-counters.ts'
import { counter, gauge, type Reading } from './metrics.ts'
import { type SinkReading, sinkReadings } from './sink-readings.ts'

/** Where the metrics read their numbers. The composition in `app/` provides it. */
export type Sources = {
  byContract: Readonly<Record<string, ContractCounters>>
  alteredByProject: ReadonlyMap<string, Readonly<AlteredCounts>>
  eventsByProject: ReadonlyMap<string, Readonly<ProjectCounts>>
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
    transitBytes: number
    threadRestarts: number
    recordingBytesMax: number
  }
  memory(): { bytes: number; requests: number; refused: number }
  scheduler(): { refused: number }
  dedupTable(): { entries: number; bytes: number; forgotten: number }
  dedupFiles(): { bytes: number; unsaved: number; failures: number }
  disk(): { bytes: number; freeBytes: number }
  redis(): { calls: number; failures: number; skipped: number }
  isDurable: boolean
  now(): number
}

/** The metrics of everything but requests and realtime. Units stand in the names. */
export function toReadings(sources: Sources): Reading[] {
  return [
    ...eventReadings(sources),
    ...journalReadings(sources),
    ...sinkReadings(sources.shipping),
    ...admissionReadings(sources),
    ...diskReadings(sources),
  ]
}

type Stage = Exclude<keyof ContractCounters, 'rejected'>

const stages = {
  received: ['spillway_events_received_total', 'Events whose outcome is known'],
  committed: ['spillway_events_committed_total', 'Events that are on disk in the journal'],
  accepted: ['spillway_events_accepted_total', 'Events that were new and are stored'],
  duplicate: ['spillway_events_duplicate_total', 'Events seen before, acknowledged and not stored'],
  dropped: [
    'spillway_events_dropped_total',
    'Events ignored without an error, as their contract demands',
  ],
  quotaDropped: [
    'spillway_events_quota_dropped_total',
    'Events dropped because a quota is used up',
  ],
  overflowed: ['spillway_events_overflowed_total', 'Accepted events sent to the overflow topic'],
} as const satisfies Record<Stage, readonly [name: string, help: string]>

function eventReadings({ byContract, alteredByProject, eventsByProject }: Sources): Reading[] {
  const contracts = Object.entries(byContract)
  const byStage = (Object.keys(stages) as Stage[]).map((stage): Reading => {
    const [name, help] = stages[stage]
    const read = () =>
      contracts.map(([contract, counters]) => ({ labels: { contract }, value: counters[stage] }))
    return { name, help: `${help}, by contract`, type: 'counter', labels: ['contract'], read }
  })
  const rejected: Reading = {
    name: 'spillway_events_rejected_total',
    help: 'Events rejected alone or with their whole request, by contract and error code',
    type: 'counter',
    labels: ['contract', 'reason'],
    read: () =>
      contracts.flatMap(([contract, counters]) =>
        Object.entries(counters.rejected).map(([reason, value]) => ({
          labels: { contract, reason },
          value: value ?? 0,
        })),
      ),
  }
  const altered: Reading = {
    name: 'spillway_events_altered_total',
    help: 'Events stored otherwise than sent, and duplicates, by kind and project of the projects file; `other` counts projects without a label of their own',
    type: 'counter',
    labels: ['kind', 'project'],
    read: () =>
      [...alteredByProject].flatMap(([project, counts]) =>
        Object.entries(counts).map(([kind, value]) => ({ labels: { kind, project }, value })),
      ),
  }
  const ofProjects: Reading = {
    name: 'spillway_project_events_total',
    help: 'Events by project and outcome: accepted, duplicate or quota_dropped; `other` counts projects that the projects file does not list, and those above 100',
    type: 'counter',
    labels: ['project', 'outcome'],
    read: () =>
      [...eventsByProject].flatMap(([project, counts]) =>
        Object.entries(counts).map(([outcome, value]) => ({ labels: { project, outcome }, value })),
      ),
  }
  return [...byStage, rejected, altered, ofProjects]
}

function journalReadings({ journal, shipping, isDurable, now }: Sources): Reading[] {
  const ageSeconds = () => {
    const { oldestMs } = journal()
    return oldestMs === undefined ? 0 : Math.max(0, now() - oldestMs) / 1000
  }
  return [
    gauge('spillway_durable', '1 if a 200 means that the events are on disk, else 0', () =>
      isDurable ? 1 : 0,
    ),
    gauge('spillway_journal_bytes', 'Bytes of the journal on disk', () => journal().bytes),
    gauge(
      'spillway_journal_max_bytes',
      'Limit of spillway_journal_bytes (JOURNAL_MAX_BYTES); beyond it requests get 503',
      () => journal().bytesMax,
    ),
    gauge('spillway_journal_segments', 'Segment files of the journal', () => journal().segments),
    gauge(
      'spillway_journal_oldest_seconds',
      'Age of the oldest event that is not delivered',
      ageSeconds,
    ),
    counter(
      'spillway_journal_commits_total',
      'Group commits: one write and sync for all requests that wait',
      () => journal().commits,
    ),
    counter(
      'spillway_journal_records_total',
      'Records committed: events and dead letters of the ingest',
      () => journal().eventsAppended,
    ),
    counter(
      'spillway_journal_damages_total',
      'Damaged places found in the journal',
      () => journal().damages,
    ),
    gauge(
      'spillway_ring_bytes',
      'Bytes of recent records in memory for the shippers',
      () => shipping().ring.bytes,
    ),
    gauge(
      'spillway_ring_max_bytes',
      'Limit of spillway_ring_bytes (RING_BYTES_MAX)',
      () => shipping().ring.bytesMax,
    ),
    gauge(
      'spillway_ring_blocks',
      'Commits of recent records in memory',
      () => shipping().ring.blocks,
    ),
    gauge(
      'spillway_transit_bytes',
      'Bytes sent to the delivery thread and not yet taken',
      () => shipping().transitBytes,
    ),
    gauge(
      'spillway_recording_bytes_max',
      'Largest record of a recording that every sink accepts; larger recordings are split',
      () => shipping().recordingBytesMax,
    ),
  ]
}

function admissionReadings({ memory, scheduler, dedupTable, redis }: Sources): Reading[] {
  return [
    gauge(
      'spillway_intake_bytes',
      'Bytes of request bodies in flight and of what they decode to',
      () => memory().bytes,
    ),
    gauge('spillway_intake_requests', 'Requests in flight', () => memory().requests),
    counter(
      'spillway_intake_refused_total',
      'Requests refused because INTAKE_BYTES_MAX or INFLIGHT_REQUESTS_MAX is reached',
      () => memory().refused,
    ),
    counter(
      'spillway_intake_shed_total',
      'Requests refused because the event loop is overloaded',
      () => scheduler().refused,
    ),
    gauge('spillway_dedup_markers', 'Dedup keys in memory', () => dedupTable().entries),
    gauge('spillway_dedup_bytes', 'Memory of the dedup keys', () => dedupTable().bytes),
    counter(
      'spillway_dedup_forgotten_total',
      'Dedup keys evicted before 24 h because DEDUP_BYTES_MAX is reached',
      () => dedupTable().forgotten,
    ),
    counter('spillway_redis_calls_total', 'Calls to Redis', () => redis().calls),
    counter('spillway_redis_failures_total', 'Calls to Redis that failed', () => redis().failures),
    counter(
      'spillway_redis_skipped_total',
      'Calls not made because Redis is unavailable',
      () => redis().skipped,
    ),
  ]
}

function diskReadings({ dedupFiles, disk }: Sources): Reading[] {
  return [
    gauge('spillway_marker_bytes', 'Bytes of dedup keys on disk', () => dedupFiles().bytes),
    counter(
      'spillway_marker_failures_total',
      'Failed writes of dedup keys',
      () => dedupFiles().failures,
    ),
    counter(
      'spillway_markers_unsaved_total',
      'Dedup keys that were never written because the disk kept failing',
      () => dedupFiles().unsaved,
    ),
    gauge('spillway_disk_bytes', 'Size of the disk that holds DATA_DIR', () => disk().bytes),
    gauge(
      'spillway_disk_free_bytes',
      'Free bytes of the disk that holds DATA_DIR',
      () => disk().freeBytes,
    ),
  ]
}
