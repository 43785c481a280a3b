import { abortable, type RetryPolicy, retryUntilAborted } from '../../core/async.ts'
import type { Batch, Sink } from '../../core/sink.ts'
import type { Cursors } from '../cursors.ts'
import type { SinkReport } from '../sink-counters.ts'
import { markForgotten } from './forgotten.ts'
import { toObject } from './object.ts'
import { toDay } from './object-name.ts'
import type { ArchiveStore } from './store.ts'

export type ArchiveSinkOptions = RetryPolicy & {
  store: ArchiveStore
  journalId: string
  cursors: Pick<Cursors, 'begin'>
  report: SinkReport
}

/**
 * Keeps every record in the archive. A batch becomes one compressed segment of the journal's own format
 * for each day of receipt. Its range is written down before it is sent, so a restart sends the same
 * object again under the same name.
 */
export function createArchiveSink(options: ArchiveSinkOptions): Sink {
  const { store, journalId, cursors, report } = options
  const closing = new AbortController()
  let isUp = false

  const retry = <T>(call: () => Promise<T>, signal: AbortSignal) =>
    retryUntilAborted(
      () => abortable(call(), signal),
      {
        ...options,
        onFault(error) {
          isUp = false
          report.retried('archive_failed', (error as Error).message)
        },
      },
      signal,
    )

  async function put({ records }: Batch, signal: AbortSignal): Promise<void> {
    for (const ofDay of Map.groupBy(records, ({ receivedMs }) => toDay(receivedMs)).values()) {
      const { name, bytes } = await toObject(journalId, ofDay)
      await retry(() => store.put(name, bytes), signal)
    }
    isUp = true
  }

  // Not awaited: while the archive is unreachable, events wait in the journal.
  const ready = retry(() => store.check(), closing.signal).then(
    () => {
      isUp = true
    },
    () => {}, // It rejects only after `close`.
  )

  return {
    name: 'archive',
    inflightMax: 1,
    async ship(batch, signal) {
      signal.throwIfAborted()
      const { firstOffset, lastOffset } = batch
      cursors.begin('archive', { firstOffset, lastOffset, attempt: 'object' })
      await put(batch, signal)
    },
    resume: put,
    async forget(person) {
      await markForgotten(store, person)
      return { deleted: {}, others: [] }
    },
    isHealthy: () => isUp,
    async close() {
      closing.abort(new Error('the archive is closed'))
      await ready
    },
  }
}
