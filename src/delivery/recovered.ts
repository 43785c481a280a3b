import type { Source } from '../core/event.ts'
import type { StoredRecord } from '../core/record.ts'
import type { SinkName } from '../core/sink.ts'

/** Events of earlier processes that a sink had not taken when this one began, by contract. */
export type Recovered = Record<string, Partial<Record<Source, number>>>

/** Counts them while the journal is replayed. A sink without an offset has taken nothing. */
export function createRecoveredCount(
  sinks: readonly SinkName[],
  offsets: Partial<Record<SinkName, number>>,
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
