import { randomBytes } from 'node:crypto'
import type { StoredRecord } from '../../core/record.ts'
import type { Range } from '../backlog.ts'
import type { Cursors } from '../cursors.ts'
import type { Burial } from './dead-letter.ts'
import { judge } from './retry-policy.ts'
import type { Piece, Records, Rest, Sender } from './sender.ts'
import type { TableName } from './tables.ts'

export type Delivery = {
  /**
   * Stores the rows of one table, each exactly once, whatever the server does. Resolves with those
   * that it cannot take, once all others are on its disk. Rejects only when the signal aborts.
   */
  deliver(task: Task, signal: AbortSignal): Promise<Burial[]>
}

export type Task = {
  table: TableName
  records: readonly StoredRecord[]
  /** Whether nobody has sent these rows before; otherwise what is stored is found out first. */
  isNew: boolean
}

export type DeliveryOptions = {
  sender: Sender
  attempts: Pick<Attempts, 'current' | 'renew'>
  journalId: string
}

/**
 * An insert that did not end cleanly is waited for, its rows are read back, and the missing are
 * sent again. Where its request may still be on the way they go under the same token, so that it
 * cannot store them a second time.
 */
export function createDelivery({ sender, attempts, journalId }: DeliveryOptions): Delivery {
  async function deliver(task: Task, signal: AbortSignal): Promise<Burial[]> {
    const burials: Burial[] = []
    let hasWitness = false
    let queue = await begin(task, signal)
    for (let piece = queue.shift(); piece; piece = queue.shift()) {
      const rest = await sender.send(task.table, piece, signal)
      if (rest.missing.length < piece.records.length) hasWitness = true
      if (rest.missing.length === 0) continue
      const next = await follow({ task, piece, rest, hasWitness, signal })
      queue = [...(next.first ?? []), ...queue, ...(next.last ?? [])]
      if (next.burial) burials.push(next.burial)
    }
    return burials
  }

  async function begin({ table, records, isNew }: Task, signal: AbortSignal): Promise<Tried[]> {
    const token = toToken(table, records, attempts.current())
    if (isNew) return [{ records, token, isNew: true, failures: 0 }]
    const missing = await sender.findMissingAtLast(table, records, signal)
    return missing.length === 0 ? [] : [{ records: missing, token, isNew: false, failures: 0 }]
  }

  async function follow({ task, piece, rest, hasWitness, signal }: Situation): Promise<Next> {
    const { table } = task
    const { missing, failure } = rest
    if (failure === undefined) return { first: [toFresh(table, missing, 0)] }
    const isUnchanged = missing.length === piece.records.length
    const failures = isUnchanged ? piece.failures + 1 : 1
    const isAlone = task.records.length === 1
    const verdict = judge({ failure, rows: missing.length, failures, hasWitness, isAlone })
    if (verdict === 'bury') return { burial: { record: missing[0]!, failure } }
    // What the server has answered is over. What it has not may still arrive.
    const isOver = failure.code !== undefined
    if (verdict === 'split' || verdict === 'shave') {
      const rows = isOver ? missing : await sender.findMissingAtLast(table, missing, signal)
      const parts = cut(rows, verdict === 'shave' ? 0 : failure.row)
      return { first: parts.map((part) => toFresh(table, part, 0)) }
    }
    const again = isOver
      ? toFresh(table, missing, failures)
      : { ...piece, records: missing, isNew: false, failures }
    return verdict === 'last' ? { last: [again] } : { first: [again] }
  }

  const toToken = (table: TableName, records: Records, attempt: string) =>
    `${journalId}/${table}/${records[0]!.offset}-${records.at(-1)!.offset}/${attempt}`

  function toFresh(table: TableName, records: Records, failures: number): Tried {
    const token = toToken(table, records, attempts.renew())
    return { records, token, isNew: true, failures }
  }
  return { deliver }
}

/** `failures`: of just these rows, in a row. */
type Tried = Piece & { failures: number }

type Situation = {
  task: Task
  piece: Tried
  rest: Rest
  hasWitness: boolean
  signal: AbortSignal
}

/** What comes before everything else, what comes after it, and what is given up. */
type Next = { first?: Tried[]; last?: Tried[]; burial?: Burial }

/**
 * Where one row was bad others may be: what follows it goes in parts, of some rows for each that we
 * know to be good.
 */
const partRowsMin = 512

/**
 * Halves; or, where a row is named: what stands before it, that row, and what follows in parts.
 * None is empty.
 */
export function cut(records: Records, row: number | undefined): Records[] {
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
 * Names of attempts at one range of records after another. A name is written down before anything
 * is sent under it, and it is random: a journal that was restored from a copy does not use one a
 * second time.
 */
export type Attempts = {
  current(): string
  renew(): string
  /** The first attempt at a range. */
  begin(range: Range): void
  /** A range that an earlier process began, under the name that it may have used last. */
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
