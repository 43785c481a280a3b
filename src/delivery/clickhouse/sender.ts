import type { Sleep } from '../../core/async.ts'
import type { StoredRecord } from '../../core/record.ts'
import type { ClickHouse } from './client.ts'
import { type ClickHouseFailure, toFailure } from './failure.ts'
import type { ReadBack } from './read-back.ts'
import type { TableName } from './tables.ts'

export type Sender = {
  /** Rows that are to be sent next, as the same array. */
  stage(records: Records): void
  /** Sends the rows once, and finds out how it ended. Rejects only when the signal aborts. */
  send(table: TableName, piece: Piece, signal: AbortSignal): Promise<Rest>
  /**
   * Which of the rows are not stored, once no request of ours is on its way to the server and none
   * runs there: for rows that are to be sent under another token than before. Rejects only when the
   * signal aborts.
   */
  findMissingAtLast(table: TableName, records: Records, signal: AbortSignal): Promise<Records>
}

/**
 * A request whose connection is gone may still lie in the server's buffers while the server hangs;
 * one that answers again has taken it up within this time.
 */
const graceMs = 1000

export type Records = readonly StoredRecord[]

/** Rows that go in one insert. */
export type Piece = {
  records: Records
  token: string
  /**
   * Nothing was ever sent under this token, so its OK is proof. ClickHouse remembers a token before
   * the part is in place: an OK to a second insert under it may mean that nothing was stored.
   */
  isNew: boolean
}

/** What an insert left to do: rows that are not stored, and the failure if there was one. */
export type Rest = { missing: Records; failure?: ClickHouseFailure }

export type SenderOptions = {
  clickhouse: Pick<ClickHouse, 'insert' | 'stage'>
  readBack: ReadBack
  /** Is told of a failure, and resolves when it is time to go on. */
  pause(failure: ClickHouseFailure, signal: AbortSignal): Promise<void>
  /** Is told of an insert that went in. */
  succeeded(): void
  sleep: Sleep
}

export function createSender(options: SenderOptions): Sender {
  const { clickhouse, readBack, pause, succeeded, sleep } = options

  async function send(
    table: TableName,
    { records, token, isNew }: Piece,
    signal: AbortSignal,
  ): Promise<Rest> {
    try {
      await clickhouse.insert({ table, token, lines: records }, signal)
    } catch (error) {
      signal.throwIfAborted()
      const failure = toFailure(error)
      // The server stopped at a row while it read them: an insert is one block, so nothing was
      // stored.
      if (failure.kind === 'data' && failure.row !== undefined) return { missing: records, failure }
      await pause(failure, signal)
      return { missing: await findMissing(table, records, signal), failure }
    }
    succeeded()
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

  async function findMissingAtLast(table: TableName, records: Records, signal: AbortSignal) {
    const missing = await findMissing(table, records, signal)
    if (missing.length === 0) return missing
    await sleep(graceMs, signal)
    return findMissing(table, missing, signal)
  }
  return { stage: (records) => clickhouse.stage?.(records), send, findMissingAtLast }
}
