import type { Source } from '../core/event.ts'
import type { Log } from '../core/log.ts'
import type { Batch, SinkName } from '../core/sink.ts'
import type { SinkReport } from './report.ts'

/** One sink's balance sheet since the start. All counts only grow. */
export type SinkTally = {
  /** Events on the sink's disk, by the contract they came by. */
  shipped: Partial<Record<Source, number>>
  /** Events that the sink cannot take, by reason; dead letters of the intake are none. */
  deadLettered: Record<string, number>
  /** Sends that failed and were made again, by reason. */
  retries: Record<string, number>
  batches: number
}

export type Tally = {
  report: SinkReport
  shipped(batch: Batch): void
  /** The last failure, until a batch goes through. */
  lastError(): string | undefined
  snapshot(): SinkTally
}

/**
 * Counts what a sink does, and logs its failures: the first of a row, and then ever more rarely.
 */
export function createTally(sink: SinkName, log: Log): Tally {
  const tally: SinkTally = { shipped: {}, deadLettered: {}, retries: {}, batches: 0 }
  const buried: Partial<Record<Source, number>> = {}
  let failuresInARow = 0
  let lastError: string | undefined

  const report: SinkReport = {
    retried(reason, message) {
      tally.retries[reason] = (tally.retries[reason] ?? 0) + 1
      failuresInARow += 1
      lastError = message
      if (Number.isInteger(Math.log2(failuresInARow)))
        log.warn(
          { sink, reason, error: message, failures: failuresInARow },
          'sink failed, retrying',
        )
    },
    deadLettered({ source, offset, kind }, reason) {
      log.warn({ sink, reason, offset }, 'event is a dead letter')
      if (kind === 'dead_letter') return
      tally.deadLettered[reason] = (tally.deadLettered[reason] ?? 0) + 1
      buried[source] = (buried[source] ?? 0) + 1
    },
  }

  function shipped(batch: Batch): void {
    if (failuresInARow > 0) log.info({ sink, failures: failuresInARow }, 'sink works again')
    failuresInARow = 0
    lastError = undefined
    tally.batches += 1
    const counts = countBySource(batch)
    for (const [source, count] of counts) {
      // Dead letters are reported before their batch is shipped; with several under way, perhaps in
      // another's stead.
      const dead = Math.min(count, buried[source] ?? 0)
      buried[source] = (buried[source] ?? 0) - dead
      tally.shipped[source] = (tally.shipped[source] ?? 0) + count - dead
    }
  }

  return { report, shipped, lastError: () => lastError, snapshot: () => structuredClone(tally) }
}

function countBySource({ records }: Batch): Map<Source, number> {
  const counts = new Map<Source, number>()
  for (const { kind, source } of records)
    if (kind !== 'dead_letter') counts.set(source, (counts.get(source) ?? 0) + 1)
  return counts
}

/** The sum of two sheets, either of which may be missing. */
export function addTallies(a: SinkTally | undefined, b: SinkTally | undefined): SinkTally {
  return {
    shipped: addCounts(a?.shipped, b?.shipped),
    deadLettered: addCounts(a?.deadLettered, b?.deadLettered),
    retries: addCounts(a?.retries, b?.retries),
    batches: (a?.batches ?? 0) + (b?.batches ?? 0),
  }
}

type Counts = Readonly<Record<string, number>>

function addCounts(a: Counts = {}, b: Counts = {}): Record<string, number> {
  const sum: Record<string, number> = { ...a }
  for (const [name, count] of Object.entries(b)) sum[name] = (sum[name] ?? 0) + count
  return sum
}
