import type { Source } from '../core/event.ts'
import type { Log } from '../core/log.ts'
import type { StoredRecord } from '../core/record.ts'
import type { Batch, SinkName, SinkOffsets, SinkRefusal } from '../core/sink.ts'

/** One sink's counters since the start. They only grow. */
export type SinkCounts = {
  /** Events on the sink's disk, by contract. */
  shipped: Partial<Record<Source, number>>
  /** Events that the sink rejects, by reason. Dead letters of the intake are not counted. */
  deadLettered: Record<string, number>
  /** Sends that failed and were retried, by reason. */
  retries: Record<string, number>
  batches: number
}

/** The callbacks by which a sink reports more than the outcome of its batches. */
export type SinkReport = {
  /**
   * A send failed and will be retried. `reason` is one of a bounded set, for metrics; `message` is
   * for the log.
   */
  retried(reason: string, message: string): void
  /** The sink rejects the record; it becomes a dead letter. */
  deadLettered(record: StoredRecord, reason: string): void
}

export type SinkCounters = {
  report: SinkReport
  shipped(batch: Batch): void
  /** The last failure. Undefined after the next batch is shipped. */
  lastError(): string | undefined
  snapshot(): SinkCounts
  /** The last events that the sink refused, oldest first. */
  refusals(): readonly SinkRefusal[]
}

/** They are part of each status message. */
const refusalsMax = 50

/** Counts a sink's work and logs its failures: of failures in a row only the 1st, 2nd, 4th, 8th, … */
export function createSinkCounters(sink: SinkName, log: Log): SinkCounters {
  const total: SinkCounts = { shipped: {}, deadLettered: {}, retries: {}, batches: 0 }
  const pendingDeadLetters: Partial<Record<Source, number>> = {}
  const refusals: SinkRefusal[] = []
  let failuresInARow = 0
  let lastError: string | undefined

  const report: SinkReport = {
    retried(reason, message) {
      total.retries[reason] = (total.retries[reason] ?? 0) + 1
      failuresInARow += 1
      lastError = message
      if (Number.isInteger(Math.log2(failuresInARow)))
        log.warn(
          { sink, reason, error: message, failures: failuresInARow },
          'sink failed, retrying',
        )
    },
    deadLettered(record, reason) {
      const { source, offset, kind } = record
      log.warn({ sink, reason, offset }, 'event is a dead letter')
      refusals.push({ uuid: record.head().uuid, reason, atMs: Date.now() })
      if (refusals.length > refusalsMax) refusals.shift()
      if (kind === 'dead_letter') return
      total.deadLettered[reason] = (total.deadLettered[reason] ?? 0) + 1
      pendingDeadLetters[source] = (pendingDeadLetters[source] ?? 0) + 1
    },
  }

  function shipped(batch: Batch): void {
    if (failuresInARow > 0) log.info({ sink, failures: failuresInARow }, 'sink works again')
    failuresInARow = 0
    lastError = undefined
    total.batches += 1
    const counts = countBySource(batch)
    for (const [source, count] of counts) {
      // A dead letter is reported before its batch is shipped. With several batches in flight it may
      // be counted for another batch; the totals stay correct.
      const dead = Math.min(count, pendingDeadLetters[source] ?? 0)
      pendingDeadLetters[source] = (pendingDeadLetters[source] ?? 0) - dead
      total.shipped[source] = (total.shipped[source] ?? 0) + count - dead
    }
  }

  return {
    report,
    shipped,
    lastError: () => lastError,
    snapshot: () => structuredClone(total),
    refusals: () => refusals,
  }
}

function countBySource({ records }: Batch): Map<Source, number> {
  const counts = new Map<Source, number>()
  for (const { kind, source } of records)
    if (kind !== 'dead_letter') counts.set(source, (counts.get(source) ?? 0) + 1)
  return counts
}

/** The sum of two sets of counts. An undefined one counts as zero. */
export function addCounts(a: SinkCounts | undefined, b: SinkCounts | undefined): SinkCounts {
  return {
    shipped: addByKey(a?.shipped, b?.shipped),
    deadLettered: addByKey(a?.deadLettered, b?.deadLettered),
    retries: addByKey(a?.retries, b?.retries),
    batches: (a?.batches ?? 0) + (b?.batches ?? 0),
  }
}

type CountByKey = Readonly<Record<string, number>>

function addByKey(a: CountByKey = {}, b: CountByKey = {}): Record<string, number> {
  const sum: Record<string, number> = { ...a }
  for (const [key, count] of Object.entries(b)) sum[key] = (sum[key] ?? 0) + count
  return sum
}

/** Events of earlier processes that a sink did not have at the start of this one, by contract. */
export type Recovered = Record<string, Partial<Record<Source, number>>>

/** Counts the records of a journal replay. A sink without an offset has none of them. */
export function createRecoveredCount(
  sinks: readonly SinkName[],
  offsets: SinkOffsets,
): { visit(record: StoredRecord): void; counts: Recovered } {
  const counts: Recovered = Object.fromEntries(sinks.map((sink) => [sink, {}]))
  return {
    counts,
    visit({ kind, source, offset }) {
      if (kind === 'dead_letter') return
      for (const sink of sinks) {
        const ofSink = counts[sink]!
        if (offset >= (offsets[sink] ?? 0)) ofSink[source] = (ofSink[source] ?? 0) + 1
      }
    },
  }
}
