import { randomBytes } from 'node:crypto'
import type { StoredRecord } from '../../core/record.ts'
import type { Range } from '../backlog.ts'
import type { Cursors } from '../cursors.ts'
import type { ClickHouseFailure } from './failure.ts'
import { chooseRetry } from './retry-policy.ts'
import type { InsertAttempt, InsertOutcome, Records, Sender } from './sender.ts'
import type { TableName } from './tables.ts'

export type TableDelivery = {
  /**
   * Stores the rows of one table exactly once, whatever the server does. Resolves with the rows
   * that ClickHouse rejects, once all others are on its disk. Rejects only when the signal aborts.
   */
  deliver(batch: TableBatch, signal: AbortSignal): Promise<RejectedRecord[]>
}

export type TableBatch = {
  table: TableName
  records: readonly StoredRecord[]
  /** These rows were never sent before. Otherwise the stored rows are read back first. */
  isNew: boolean
}

/** A record that ClickHouse rejects, and the reason. */
export type RejectedRecord = { record: StoredRecord; failure: ClickHouseFailure }

export type TableDeliveryOptions = {
  sender: Sender
  attempts: Pick<Attempts, 'current' | 'renew'>
  insertPrefix: string
}

/**
 * After an insert that did not end cleanly: wait until it has ended on the server, read its rows
 * back, and send the missing ones again. If its request may still arrive, they keep the same token,
 * so that the server cannot store them twice.
 */
export function createTableDelivery(options: TableDeliveryOptions): TableDelivery {
  const { sender, attempts, insertPrefix } = options

  async function deliver(batch: TableBatch, signal: AbortSignal): Promise<RejectedRecord[]> {
    const rejected: RejectedRecord[] = []
    let hasStoredOthers = false
    let queue = await begin(batch, signal)
    for (let attempt = queue.shift(); attempt; attempt = queue.shift()) {
      const outcome = await sender.send(batch.table, attempt, signal)
      if (outcome.missing.length < attempt.records.length) hasStoredOthers = true
      if (outcome.missing.length === 0) continue
      const next = await chooseNext({ batch, attempt, outcome, hasStoredOthers, signal })
      queue = [...(next.first ?? []), ...queue, ...(next.last ?? [])]
      if (next.rejected) rejected.push(next.rejected)
    }
    return rejected
  }

  async function begin(batch: TableBatch, signal: AbortSignal): Promise<QueuedAttempt[]> {
    const { table, records, isNew } = batch
    const token = toToken(table, records, attempts.current())
    if (isNew) return [{ records, token, isNew: true, failures: 0 }]
    const missing = await sender.findFinallyMissing(table, records, signal)
    return missing.length === 0 ? [] : [{ records: missing, token, isNew: false, failures: 0 }]
  }

  async function chooseNext(situation: Situation): Promise<Next> {
    const { batch, attempt, outcome, hasStoredOthers, signal } = situation
    const { table } = batch
    const { missing, failure } = outcome
    if (failure === undefined) return { first: [toNewAttempt(table, missing, 0)] }
    const isUnchanged = missing.length === attempt.records.length
    const failures = isUnchanged ? attempt.failures + 1 : 1
    const isOnlyRow = batch.records.length === 1
    const failed = { failure, rows: missing.length, failures, hasStoredOthers, isOnlyRow }
    const step = chooseRetry(failed)
    if (step === 'dead-letter') return { rejected: { record: missing[0]!, failure } }
    // A request that was answered has ended. One without an answer may still arrive.
    const hasEnded = failure.code !== undefined
    if (step === 'split' || step === 'probe-first') {
      const rows = hasEnded ? missing : await sender.findFinallyMissing(table, missing, signal)
      const parts = splitRecords(rows, step === 'probe-first' ? 0 : failure.row)
      return { first: parts.map((part) => toNewAttempt(table, part, 0)) }
    }
    const again = hasEnded
      ? toNewAttempt(table, missing, failures)
      : { ...attempt, records: missing, isNew: false, failures }
    return step === 'retry-last' ? { last: [again] } : { first: [again] }
  }

  const toToken = (table: TableName, records: Records, attempt: string) =>
    `${insertPrefix}/${table}/${records[0]!.offset}-${records.at(-1)!.offset}/${attempt}`

  function toNewAttempt(table: TableName, records: Records, failures: number): QueuedAttempt {
    const token = toToken(table, records, attempts.renew())
    return { records, token, isNew: true, failures }
  }
  return { deliver }
}

/** `failures`: failures in a row of exactly these rows. */
type QueuedAttempt = InsertAttempt & { failures: number }

type Situation = {
  batch: TableBatch
  attempt: QueuedAttempt
  outcome: InsertOutcome
  hasStoredOthers: boolean
  signal: AbortSignal
}

/** Attempts before and after all queued ones, and a rejected row. */
type Next = { first?: QueuedAttempt[]; last?: QueuedAttempt[]; rejected?: RejectedRecord }

/**
 * Where one row is bad others may follow, so the rows after it are sent in parts of limited size.
 */
const partRowsMin = 512

/**
 * Halves; or, if the server named a row: the rows before it, that row, and the rows after it in
 * parts of at least four times the rows known to be good. No part is empty.
 */
function splitRecords(records: Records, row: number | undefined): Records[] {
  if (row === undefined || row >= records.length) {
    const half = Math.ceil(records.length / 2)
    return [records.slice(0, half), records.slice(half)].filter((part) => part.length > 0)
  }
  const parts = [records.slice(0, row), records.slice(row, row + 1)]
  const partRows = Math.max(partRowsMin, 4 * (row + 1))
  for (let from = row + 1; from < records.length; from += partRows)
    parts.push(records.slice(from, from + partRows))
  return parts.filter((part) => part.length > 0)
}

/**
 * Names for the attempts at one range of records. A name is written to disk before anything is sent
 * under it. It is random, so that a journal restored from a backup does not use a name twice.
 */
export type Attempts = {
  current(): string
  renew(): string
  /** The first attempt at a range. */
  begin(range: Range): void
  /** A range that an earlier process began, with the name that it may have used last. */
  resume(range: Range): void
}

export function createAttempts(cursors: Pick<Cursors, 'begin' | 'pending'>): Attempts {
  let attempt = ''
  let range: Range = { firstOffset: 0, lastOffset: 0 }

  function renew(): string {
    attempt = randomBytes(6).toString('hex')
    const { firstOffset, lastOffset } = range
    cursors.begin('clickhouse', { firstOffset, lastOffset, attempt })
    return attempt
  }

  function begin(next: Range): void {
    range = next
    renew()
  }

  function resume(next: Range): void {
    range = next
    attempt = cursors.pending('clickhouse')?.attempt ?? renew()
  }
  return { current: () => attempt, renew, begin, resume }
}
