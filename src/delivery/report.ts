import type { StoredRecord } from '../core/record.ts'

/** What a sink tells about its work beside its promises. */
export type SinkReport = {
  /**
   * A send failed and will be tried again. `reason` is one of a bounded set; `message` is for a
   * person.
   */
  retried(reason: string, message: string): void
  /** The record is a dead letter of the sink's, for good. */
  deadLettered(record: StoredRecord, reason: string): void
}
