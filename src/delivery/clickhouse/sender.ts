import type { Sleep } from '../../core/async.ts'
import type { StoredRecord } from '../../core/record.ts'
import type { ClickHouse } from './client.ts'
import { type ClickHouseFailure, toFailure } from './failure.ts'
import type { ReadBack } from './read-back.ts'
import type { TableName } from './tables.ts'

export type Sender = {
  /** Sends the rows once and determines the outcome. Rejects only when the signal aborts. */
  send(table: TableName, attempt: InsertAttempt, signal: AbortSignal): Promise<InsertOutcome>
  /**
   * The rows that are not stored, after all requests of this journal have arrived and ended on the
   * server. Required before rows are sent under another token. Rejects only when the signal aborts.
   */
  findFinallyMissing(table: TableName, records: Records, signal: AbortSignal): Promise<Records>
}

/**
 * After its connection broke, a request may still wait in the buffers of a hanging server. A server
 * that answers again starts it within this time.
 */
const graceMs = 1000

export type Records = readonly StoredRecord[]

/** Rows that go in one insert. */
export type InsertAttempt = {
  records: Records
  token: string
  /**
   * The token was never sent before, so success proves that the rows are stored. ClickHouse
   * remembers a token before the part is in place: success of a second insert with it may store
   * nothing.
   */
  isNew: boolean
}

/** The rows that are not stored after an insert, and its failure if it failed. */
export type InsertOutcome = { missing: Records; failure?: ClickHouseFailure }

export type SenderOptions = {
  clickhouse: Pick<ClickHouse, 'insert'>
  readBack: ReadBack
  /** Reports a failure and resolves after the pause before the next call. */
  pause(failure: ClickHouseFailure, signal: AbortSignal): Promise<void>
  /** Called after each successful insert. */
  onSuccess(): void
  sleep: Sleep
}

export function createSender(options: SenderOptions): Sender {
  const { clickhouse, readBack, pause, onSuccess, sleep } = options

  async function send(
    table: TableName,
    { records, token, isNew }: InsertAttempt,
    signal: AbortSignal,
  ): Promise<InsertOutcome> {
    try {
      await clickhouse.insert({ table, token, lines: records }, signal)
    } catch (error) {
      signal.throwIfAborted()
      const failure = toFailure(error)
      // The server stopped at a row while it parsed them. An insert is one block, so no row is
      // stored.
      if (failure.kind === 'data' && failure.row !== undefined) return { missing: records, failure }
      await pause(failure, signal)
      return { missing: await findMissing(table, records, signal), failure }
    }
    onSuccess()
    return { missing: isNew ? [] : await findMissing(table, records, signal) }
  }

  async function findMissing(table: TableName, records: Records, signal: AbortSignal) {
    for (;;) {
      try {
        await readBack.settle(signal)
        return await readBack.findMissing({ table, records }, signal)
      } catch (error) {
        signal.throwIfAborted()
        await pause(toFailure(error), signal)
      }
    }
  }

  async function findFinallyMissing(table: TableName, records: Records, signal: AbortSignal) {
    const missing = await findMissing(table, records, signal)
    if (missing.length === 0) return missing
    await sleep(graceMs, signal)
    return findMissing(table, missing, signal)
  }
  return { send, findFinallyMissing }
}
