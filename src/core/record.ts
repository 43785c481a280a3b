import type { Kind, Marker, Route, Source } from './event.ts'

/** What the journal takes: the canonical line and all that shippers need, so that none parses JSON. */
export type JournalRecord = {
  kind: Kind
  route: Route
  source: Source
  uuid: string
  marker: Marker | undefined
  event: string
  /** Kafka partition key. */
  key: string
  receivedMs: number
  /** The canonical JSON line, without the newline. */
  line: string
}

/** A record as read back. `line` is a view that ends with a newline; `head` is decoded on demand. */
export type StoredRecord = {
  offset: number
  kind: Kind
  route: Route
  source: Source
  receivedMs: number
  line: Uint8Array
  head(): { uuid: string; marker: Marker | undefined; event: string; key: string }
}

/** Records that one sync made durable: `count` records from `firstOffset` on, encoded back to back. */
export type CommittedBlock = { firstOffset: number; count: number; bytes: Uint8Array }
