import { abortable, type RetryPolicy, retryUntilAborted, toBackoffMs } from '../../core/async.ts'
import type { StoredRecord } from '../../core/record.ts'
import type { Batch, Sink } from '../../core/sink.ts'
import type { Cursors } from '../cursors.ts'
import type { SinkReport } from '../sink-counters.ts'
import type { ClickHouse } from './client.ts'
import { toStoredDeadLetter } from './dead-letter.ts'
import { createAttempts, createDelivery, type Task } from './delivery.ts'
import { type ClickHouseFailure, toFailure } from './failure.ts'
import { createReadBack } from './read-back.ts'
import { createSender } from './sender.ts'
import { type TableName, tableOf } from './tables.ts'

export type ClickHouseSinkOptions = RetryPolicy & {
  clickhouse: ClickHouse
  /**
   * Makes what is missing of database and tables: before the first insert, and when the server says
   * they are gone.
   */
  prepare(): Promise<void>
  journalId: string
  cluster: string | undefined
  cursors: Pick<Cursors, 'begin' | 'pending'>
  /**
   * How long an insert of ours may go on running on the server before the server is asked to end
   * it.
   */
  patienceMs: number
  report: SinkReport
  now(): number
}

/** Exactly once into ClickHouse, one batch at a time. Begins to connect at once. */
export function createClickHouseSink(options: ClickHouseSinkOptions): Sink {
  const { clickhouse, report } = options
  let failuresInARow = 0
  const closing = new AbortController()
  let isReady = false
  const attempts = createAttempts(options.cursors)
  const readBack = createReadBack(options)
  const sender = createSender({ clickhouse, readBack, pause, succeeded, sleep: options.sleep })
  const { deliver } = createDelivery({ sender, attempts, journalId: options.journalId })
  const staged = new WeakMap<Batch, Task[]>()

  function succeeded(): void {
    failuresInARow = 0
  }

  async function pause(failure: ClickHouseFailure, signal: AbortSignal): Promise<void> {
    failed(failure)
    await options.sleep(toBackoffMs(failuresInARow, options.backoff, options.random), signal)
    if (failure.code === undefined || !lostSchemaCodes.has(failure.code)) return
    ready = makeReady()
    await abortable(ready, signal)
  }

  function failed(error: unknown): void {
    failuresInARow += 1
    const { reason, message } = toFailure(error)
    report.retried(reason, message)
  }

  function makeReady(): Promise<void> {
    isReady = false
    const preparing = retryUntilAborted(
      options.prepare,
      { ...options, onFault: failed },
      closing.signal,
    )
    const made = preparing.then(() => {
      isReady = true
      failuresInARow = 0
    })
    made.catch(() => {}) // It fails by being closed alone.
    return made
  }

  async function run(batch: Batch, isNew: boolean, signal: AbortSignal): Promise<void> {
    await abortable(ready, signal)
    const letters: StoredRecord[] = []
    for (const task of staged.get(batch) ?? toTasks(batch.records, isNew))
      for (const burial of await deliver(task, signal)) {
        letters.push(toStoredDeadLetter(burial, options.journalId))
        report.deadLettered(burial.record, burial.failure.reason)
      }
    if (letters.length > 0)
      await deliver({ table: 'dead_letters', records: letters, isNew }, signal)
  }

  // Not awaited: the server may be away, and what comes in waits in the journal.
  let ready = makeReady()

  return {
    name: 'clickhouse',
    inflightMax: 1,
    stage(batch) {
      const tasks = toTasks(batch.records, true)
      staged.set(batch, tasks)
      for (const { records } of tasks) sender.stage(records)
    },
    async ship(batch, signal) {
      attempts.begin(batch)
      await run(batch, true, signal)
    },
    async resume(batch, signal) {
      attempts.resume(batch)
      staged.delete(batch)
      await run(batch, false, signal)
    },
    isHealthy: () => isReady && failuresInARow === 0,
    async close() {
      closing.abort(new Error('the sink is closed'))
      await ready.catch(() => {})
      await clickhouse.close()
    },
  }
}

/** UNKNOWN_TABLE and UNKNOWN_DATABASE: the server was replaced by an empty one. */
const lostSchemaCodes = new Set([60, 81])

/** The batch's rows by table, in their order. */
function toTasks(records: readonly StoredRecord[], isNew: boolean): Task[] {
  const byTable = new Map<TableName, StoredRecord[]>()
  for (const record of records) {
    const table = tableOf[record.kind]
    const rows = byTable.get(table)
    if (rows) rows.push(record)
    else byTable.set(table, [record])
  }
  return [...byTable].map(([table, rows]) => ({ table, records: rows, isNew }))
}
