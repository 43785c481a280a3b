import { createHash } from 'node:crypto'
import { toDeadLetter } from '../../contracts/encode.ts'
import { abortable, type RetryPolicy, retryUntilAborted, toBackoffMs } from '../../core/async.ts'
import { type StoredRecord, toEncodedRecord, toLineText, toStoredLine } from '../../core/record.ts'
import type { Batch, Sink } from '../../core/sink.ts'
import type { Cursors } from '../cursors.ts'
import type { SinkReport } from '../sink-counters.ts'
import type { ClickHouse } from './client.ts'
import {
  createAttempts,
  createTableDelivery,
  type RejectedRecord,
  type TableBatch,
} from './delivery.ts'
import { type ClickHouseFailure, toFailure } from './failure.ts'
import { forgetPerson } from './forget.ts'
import { createReadBack } from './read-back.ts'
import { createSender } from './sender.ts'
import { type TableName, tableOf } from './tables.ts'

export type ClickHouseSinkOptions = RetryPolicy & {
  clickhouse: ClickHouse
  /**
   * Creates missing database and tables. Called before the first insert, and again when the server
   * reports that they do not exist.
   */
  prepare(): Promise<void>
  journalId: string
  /** Names the inserts; the journal's id, unless another process may insert in its name. */
  insertPrefix?: string
  cluster: string | undefined
  cursors: Pick<Cursors, 'begin' | 'pending'>
  /** An insert that still runs on the server after this time is killed. */
  killAfterMs: number
  report: SinkReport
  now(): number
}

/**
 * Stores every record exactly once in ClickHouse, one batch at a time. Starts to connect at once.
 */
export function createClickHouseSink(options: ClickHouseSinkOptions): Sink {
  const { clickhouse, report, insertPrefix = options.journalId } = options
  let failuresInARow = 0
  const closing = new AbortController()
  let isReady = false
  const attempts = createAttempts(options.cursors)
  const readBack = createReadBack({ ...options, insertPrefix })
  const sender = createSender({ clickhouse, readBack, pause, onSuccess, sleep: options.sleep })
  const { deliver } = createTableDelivery({ sender, attempts, insertPrefix })

  function onSuccess(): void {
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
    made.catch(() => {}) // It rejects only after `close`.
    return made
  }

  async function run(batch: Batch, isNew: boolean, signal: AbortSignal): Promise<void> {
    await abortable(ready, signal)
    const deadLetters: StoredRecord[] = []
    for (const tableBatch of toTableBatches(batch.records, isNew))
      for (const rejected of await deliver(tableBatch, signal)) {
        deadLetters.push(toStoredDeadLetter(rejected, options.journalId))
        report.deadLettered(rejected.record, rejected.failure.reason)
      }
    if (deadLetters.length > 0)
      await deliver({ table: 'dead_letters', records: deadLetters, isNew }, signal)
  }

  // Not awaited: while the server is unreachable, events wait in the journal.
  let ready = makeReady()

  return {
    name: 'clickhouse',
    inflightMax: 1,
    async ship(batch, signal) {
      attempts.begin(batch)
      await run(batch, true, signal)
    },
    async resume(batch, signal) {
      attempts.resume(batch)
      await run(batch, false, signal)
    },
    async forget(person, signal) {
      await abortable(ready, signal)
      return await forgetPerson(options, person, signal)
    },
    isHealthy: () => isReady && failuresInARow === 0,
    async close() {
      closing.abort(new Error('the ClickHouse sink is closed'))
      await ready.catch(() => {})
      await clickhouse.close()
    },
  }
}

/** UNKNOWN_TABLE and UNKNOWN_DATABASE: the server may have been replaced by an empty one. */
const lostSchemaCodes = new Set([60, 81])

/** The rows of a batch by table, in their order. */
function toTableBatches(records: readonly StoredRecord[], isNew: boolean): TableBatch[] {
  const byTable = new Map<TableName, StoredRecord[]>()
  for (const record of records) {
    const table = tableOf[record.kind]
    const rows = byTable.get(table)
    if (rows) rows.push(record)
    else byTable.set(table, [record])
  }
  return [...byTable].map(([table, rows]) => ({ table, records: rows, isNew }))
}

/**
 * The dead letter of a rejected record. Its uuid derives from the record's place in the journal, so
 * that a second attempt at the same record gives the same row.
 */
function toStoredDeadLetter({ record, failure }: RejectedRecord, journalId: string): StoredRecord {
  const { offset, receivedMs } = record
  const { message: detail, reason } = failure
  const uuid = toUuid(`${journalId}/${offset}`)
  const { line, dedupKey, event, key, ...letter } = toDeadLetter({
    ...{ record, stage: 'clickhouse', reason, detail, uuid, receivedMs },
  })
  const stored = toStoredLine(encoder.encode(`${toLineText(line)}\n`))
  const head = { uuid, dedupKey, event, key }
  const encoded = () => toEncodedRecord({ ...head, line })
  return { ...letter, ...stored, offset, head: () => head, encoded }
}

const encoder = new TextEncoder()

/** A uuid of version 8: the format for custom rules. */
function toUuid(name: string): string {
  const hex = createHash('sha256').update(name).digest('hex')
  const variant = '89ab'[Number.parseInt(hex[16]!, 16) % 4]
  const groups = [hex.slice(0, 8), hex.slice(8, 12), `8${hex.slice(13, 16)}`]
  return [...groups, `${variant}${hex.slice(17, 20)}`, hex.slice(20, 32)].join('-')
}
