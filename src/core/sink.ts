import type { StoredRecord } from './record.ts'

/** Every sink, in the order in which metrics and health list them. */
export const sinkNames = ['clickhouse', 'kafka', 'archive'] as const
export type SinkName = (typeof sinkNames)[number]

/** The next journal offset of each sink: it has all records below. */
export type SinkOffsets = Partial<Record<SinkName, number>>

/** Consecutive records of the journal, as a shipper hands them to a sink. */
export type Batch = { firstOffset: number; lastOffset: number; records: readonly StoredRecord[] }

/**
 * A destination of events. `ship` resolves when every record of the batch is on the sink's disk or is
 * a dead letter there. It retries until then and rejects only when `signal` aborts. `resume` is called
 * once at the start, with the batch that was in flight when the process ended: its outcome is unknown.
 */
export type Sink = {
  name: SinkName
  /** Batches in flight at once. The cursor still advances in their order. ClickHouse: 1. */
  inflightMax: number
  ship(batch: Batch, signal: AbortSignal): Promise<void>
  resume(batch: Batch, signal: AbortSignal): Promise<void>
  isHealthy(): boolean
  /** The largest record of a recording that the sink accepts, in bytes. Undefined: unknown, or no limit. */
  recordingBytesMax?(): number | undefined
  /** Kafka: the partitions of each topic, as far as known. */
  partitions?(): Readonly<Record<string, number>>
  /**
   * Deletes what the sink has of a person and can delete. Safe to repeat. Rejects if it fails. Undefined:
   * the sink can delete nothing.
   */
  forget?(person: Person, signal: AbortSignal): Promise<Forgotten>
  close(): Promise<void>
}

/** A sender of events, by the id that its events have in one project. */
export type Person = { project: string; distinctId: string }

/** `deleted`: the rows by table. `others`: further ids of the same person, as far as known. */
export type Forgotten = { deleted: Readonly<Record<string, number>>; others: readonly string[] }

/** An event that a sink refused. */
export type SinkRefusal = { uuid: string; reason: string; atMs: number }
