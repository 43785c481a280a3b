import type { DedupKey, Kind, Route, Source } from './event.ts'

/** What the journal takes: the canonical line and all that shippers need, so that none parses JSON. */
export type JournalRecord = {
  kind: Kind
  route: Route
  source: Source
  uuid: string
  dedupKey: DedupKey | undefined
  event: string
  /** Kafka partition key. */
  key: string
  receivedMs: number
  line: Line
}

/**
 * The canonical JSON line, without the newline: whole, or in pieces, since to join many costs more
 * than to write each. Pieces meet at JSON's own syntax, so that no surrogate pair lies across two:
 * only then is their UTF-8 that of the whole.
 */
export type Line = string | readonly string[]

/** A line, newline included, wherever its bytes lie. */
export type StoredLine = {
  lineBytes: number
  /** Takes half the time of a view and a copy from that. */
  copyLine(into: Buffer, at: number): void
}

/** A record as read back. `line` is a view that ends with a newline; `head` is decoded on demand. */
export type StoredRecord = StoredLine & {
  offset: number
  kind: Kind
  route: Route
  source: Source
  receivedMs: number
  line: Uint8Array
  head(): { uuid: string; dedupKey: DedupKey | undefined; event: string; key: string }
}

/** Records that one sync made durable: `count` records from `firstOffset` on, encoded back to back. */
export type CommittedBlock = { firstOffset: number; count: number; bytes: Uint8Array }

/** Of bytes that lie alone. */
export function toStoredLine(line: Uint8Array): StoredLine & Pick<StoredRecord, 'line'> {
  return { line, lineBytes: line.length, copyLine: (into, at) => into.set(line, at) }
}
