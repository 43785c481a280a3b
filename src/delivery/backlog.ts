import { setImmediate as nextIteration } from 'node:timers/promises'
import { createGate } from '../core/async.ts'
import type { StoredRecord } from '../core/record.ts'
import type { Batch } from '../core/sink.ts'
import type { ReadLimits } from '../journal/reader.ts'
import type { RecordSource } from '../journal/recent-records.ts'

export type Range = Pick<Batch, 'firstOffset' | 'lastOffset'>

/** The records that one sink has not taken yet, cut into batches. */
export type Backlog = {
  /** Records below `endOffset` are committed; the new ones take `bytes`. */
  announce(endOffset: number, bytes: number): void
  /** From now on a batch no longer waits for more records. */
  hurry(): void
  /**
   * Resolves with the next batch when it is full or its first record has waited `flushMs`. Rejects
   * when the signal aborts.
   */
  take(signal: AbortSignal): Promise<Batch>
  /**
   * The records of a range that the journal still holds; undefined when it holds none. The next batch
   * begins after the range.
   */
  read(range: Range, signal: AbortSignal): Promise<Batch | undefined>
  /** The offset after the last announced record. */
  end(): number
}

export type BacklogOptions = {
  source: Pick<RecordSource, 'read'>
  /** The size of one batch. */
  limits: ReadLimits
  /** The first record of a batch waits this long for more records. */
  flushMs: number
  /** The first record that the sink has not taken. */
  fromOffset: number
  now(): number
}

/** One read blocks the thread while it decodes, so bound its size. */
const readLimitsMax: ReadLimits = { recordsMax: 4096, bytesMax: 4 * 1024 * 1024 }
const unbounded = Number.POSITIVE_INFINITY
/** An announced record is in the journal, but the reader may see it a little later: ask again. */
const rereadPauseMs = 50

export function createBacklog({ source, limits, flushMs, now, ...start }: BacklogOptions): Backlog {
  const gate = createGate()
  let next = start.fromOffset
  let end = next
  let waitingBytes = 0
  let waitingSinceMs = now()
  let isHurried = false
  const isFull = () => end - next >= limits.recordsMax || waitingBytes >= limits.bytesMax

  function announce(endOffset: number, bytes: number): void {
    if (endOffset <= end) return
    const isFirst = end <= next
    if (isFirst) waitingSinceMs = now()
    end = endOffset
    waitingBytes += bytes
    if (isFirst || isFull()) gate.wake()
  }

  async function waitUntilDue(signal: AbortSignal): Promise<void> {
    while (end <= next) await gate.wait(signal)
    while (!isHurried && !isFull()) {
      const restMs = waitingSinceMs + flushMs - now()
      if (restMs <= 0) return
      await gate.wait(signal, restMs)
    }
  }

  async function take(signal: AbortSignal): Promise<Batch> {
    for (;;) {
      await waitUntilDue(signal)
      const { batch, bytes } = await gather(
        { ...limits, fromOffset: next, beforeOffset: end },
        signal,
      )
      if (batch) {
        next = batch.lastOffset + 1
        waitingSinceMs = now()
        waitingBytes = end > next ? Math.max(0, waitingBytes - bytes) : 0
        return batch
      }
      await gate.wait(signal, rereadPauseMs)
    }
  }

  async function read({ firstOffset, lastOffset }: Range, signal: AbortSignal) {
    const wanted = { fromOffset: firstOffset, beforeOffset: lastOffset + 1 }
    const { batch } = await gather(wanted, signal)
    next = Math.max(next, lastOffset + 1)
    return batch
  }

  async function gather(wanted: Wanted, signal: AbortSignal): Promise<Gathered> {
    const { fromOffset, beforeOffset, recordsMax = unbounded, bytesMax = unbounded } = wanted
    const records: StoredRecord[] = []
    let at = fromOffset
    let bytes = 0
    while (at < beforeOffset && records.length < recordsMax && bytes < bytesMax) {
      const part = await source.read(at, {
        recordsMax: Math.min(readLimitsMax.recordsMax, recordsMax - records.length),
        bytesMax: Math.min(readLimitsMax.bytesMax, bytesMax - bytes),
      })
      await nextIteration()
      signal.throwIfAborted()
      if (part.length === 0) break
      at = part.at(-1)!.offset + 1
      for (const record of part) {
        if (record.offset >= beforeOffset) break
        records.push(record)
        bytes += record.lineBytes
      }
    }
    return { batch: toBatch(records), bytes }
  }

  function hurry(): void {
    isHurried = true
    gate.wake()
  }
  return { announce, hurry, take, read, end: () => end }
}

type Gathered = { batch: Batch | undefined; bytes: number }
type Wanted = { fromOffset: number; beforeOffset: number } & Partial<ReadLimits>

function toBatch(records: readonly StoredRecord[]): Batch | undefined {
  const [first, last] = [records[0], records.at(-1)]
  return first && last && { firstOffset: first.offset, lastOffset: last.offset, records }
}
