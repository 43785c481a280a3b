import type { StoredRecord } from '../../../src/core/record.ts'
import type { Batch, Sink } from '../../../src/core/sink.ts'
import type { Cursors, PendingRange } from '../../../src/delivery/cursors.ts'
import { createShipper, type ShipperOptions } from '../../../src/delivery/shipper.ts'
import type { RecordSource } from '../../../src/journal/recent-records.ts'
import { instantly, makeEvent } from './clickhouse/fixtures.ts'

/** A journal in memory. Its records are in order and may have gaps. */
export function makeJournal(): Pick<RecordSource, 'read'> & {
  records: StoredRecord[]
  reads: number[]
} {
  const records: StoredRecord[] = []
  const reads: number[] = []
  return {
    ...{ records, reads },
    async read(fromOffset, { recordsMax, bytesMax }) {
      reads.push(fromOffset)
      const taken: StoredRecord[] = []
      let bytes = 0
      for (const record of records) {
        if (record.offset < fromOffset) continue
        bytes += record.line.length
        if (taken.length === recordsMax || (taken.length > 0 && bytes > bytesMax)) break
        taken.push(record)
      }
      return taken
    },
  }
}

/** Cursors in memory. Two shippers in a row may use them. */
export function makeCursors(): Cursors & { log: string[] } {
  let next: number | undefined
  let pending: PendingRange | undefined
  const log: string[] = []
  return {
    log,
    offset: () => next,
    pending: () => pending,
    begin(_, range) {
      log.push(`begin ${range.firstOffset}-${range.lastOffset}`)
      pending = range
    },
    advance(_, offset) {
      log.push(`advance ${offset}`)
      next = offset
      pending = undefined
    },
    close() {},
  }
}

export type HeldBatch = { batch: Batch; arrive(): void; fail(error: Error): void }

/** A sink that holds every batch until the test lets it arrive or fail. */
export function makeSink(inflightMax = 1): Sink & { held: HeldBatch[]; resumed: Batch[] } {
  const held: HeldBatch[] = []
  const resumed: Batch[] = []
  function ship(batch: Batch, signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
    held.push({ batch, arrive: resolve, fail: reject })
    return promise
  }
  return {
    ...{ name: 'clickhouse' as const, inflightMax, held, resumed, ship },
    resume(batch, signal) {
      resumed.push(batch)
      return ship(batch, signal)
    },
    isHealthy: () => true,
    async close() {},
  }
}

/** A shipper with fakes and a clock that only the test moves. */
export function makeShipper(given: Partial<ShipperOptions> = {}) {
  const journal = makeJournal()
  const cursors = makeCursors()
  const sink = makeSink()
  const clock = { nowMs: 0 }
  const shipped: Batch[] = []
  const advanced: number[] = []
  const faults: string[] = []
  const shipper = createShipper({
    ...instantly,
    ...{ sink, cursors, source: journal, flushMs: 0, fromOffset: 0, now: () => clock.nowMs },
    limits: { recordsMax: 100, bytesMax: 1_000_000 },
    onShipped: (batch) => void shipped.push(batch),
    onAdvanced: (offset) => void advanced.push(offset),
    onFault: (error) => void faults.push(String(error)),
    ...given,
  })
  /** Commits `count` more events. */
  function commit(count: number): void {
    const source = (given.source ?? journal) as ReturnType<typeof makeJournal>
    const from = (source.records.at(-1)?.offset ?? -1) + 1
    for (let offset = from; offset < from + count; offset += 1)
      source.records.push(makeEvent(offset))
    shipper.announce(from + count, count * 400)
  }
  return { shipper, journal, cursors, sink, clock, shipped, advanced, faults, commit }
}

export const rangeOf = ({ firstOffset, lastOffset }: Batch) => `${firstOffset}-${lastOffset}`
