import type { StoredRecord } from './record.ts'

export type SinkName = 'clickhouse' | 'kafka'

/** Consecutive records of the journal, as a shipper hands them to a sink. */
export type Batch = { firstOffset: number; lastOffset: number; records: readonly StoredRecord[] }

/**
 * Where events go. `ship` resolves once every record of the batch is on the sink's disk, or is a dead letter
 * there; it keeps trying until then, and rejects only when `signal` aborts. `resume` is called once at start with the
 * range that was written down before the last end of the process, whose outcome nobody knows.
 */
export type Sink = {
  name: SinkName
  /** How many batches may be under way at once; the cursor still moves in their order. ClickHouse: 1. */
  inflightMax: number
  /** The batch that will be shipped next, while another is under way: what can be made ready, may be. */
  stage?(batch: Batch): void
  ship(batch: Batch, signal: AbortSignal): Promise<void>
  resume(batch: Batch, signal: AbortSignal): Promise<void>
  isHealthy(): boolean
  close(): Promise<void>
}
