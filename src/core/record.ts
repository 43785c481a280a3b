import type { DedupKey, Kind, Route, Source } from './event.ts'

/**
 * A record to append to the journal: the canonical line, and the fields that shippers need without
 * parsing it.
 */
export type JournalRecord = {
  kind: Kind
  route: Route
  source: Source
  uuid: string
  dedupKey: DedupKey | undefined
  /** Of the request, in the first of its records: a restart must know it beside the dedup keys. */
  payloadKey?: DedupKey | undefined
  event: string
  /** Kafka partition key. */
  key: string
  receivedMs: number
  line: Line
}

/**
 * The canonical JSON line without its newline, as one string, as pieces or as bytes. To join many pieces
 * costs more than to encode each. Pieces end at JSON syntax, so no surrogate pair is split between
 * two: their UTF-8 bytes in a row equal the UTF-8 bytes of the joined string.
 */
export type Line = string | readonly string[] | Uint8Array

/** The line as one string. */
export function toLineText(line: Line): string {
  if (typeof line === 'string') return line
  return line instanceof Uint8Array ? utf8.decode(line) : line.join('')
}

const utf8 = new TextDecoder()

/** A line with its newline, in whatever memory holds its bytes. */
export type StoredLine = {
  lineBytes: number
  /** Copies the line. Takes half the time of creating a view and copying from it. */
  copyLine(into: Buffer, at: number): void
}

/**
 * A record as read from the journal. `line` ends with a newline; `head` is decoded when it is
 * called.
 */
export type StoredRecord = StoredLine & {
  offset: number
  kind: Kind
  route: Route
  source: Source
  receivedMs: number
  line: Uint8Array
  head(): RecordHead
  /** The encoded fields in place: for a sink that copies them without decoding them. */
  encoded(): EncodedRecord
}

/**
 * Where the fields of a record lie in `bytes`, as UTF-8: uuid, event and key in a row, and the line.
 * The line ends before `lineEnd`, without its newline.
 */
export type EncodedRecord = {
  bytes: Buffer
  uuidAt: number
  eventAt: number
  keyAt: number
  keyEnd: number
  lineAt: number
  lineEnd: number
}

/** The fields of a record that is not in a journal. `line` has no newline. */
export function toEncodedRecord({
  uuid,
  event,
  key,
  line,
}: Pick<JournalRecord, 'uuid' | 'event' | 'key' | 'line'>): EncodedRecord {
  const text = typeof line === 'string' || line instanceof Uint8Array ? line : line.join('')
  const parts = [uuid, event, key, text].map((part) => Buffer.from(part as string))
  const ends: number[] = []
  for (const part of parts) ends.push((ends.at(-1) ?? 0) + part.length)
  const [eventAt, keyAt, keyEnd, lineEnd] = ends as [number, number, number, number]
  const bytes = Buffer.concat(parts)
  return { bytes, uuidAt: 0, eventAt, keyAt, keyEnd, lineAt: keyEnd, lineEnd }
}

export type RecordHead = Pick<JournalRecord, 'uuid' | 'dedupKey' | 'payloadKey' | 'event' | 'key'>

/**
 * The records that one sync made durable: `count` records from `firstOffset` on, encoded in a row.
 */
export type CommittedBlock = { firstOffset: number; count: number; bytes: Uint8Array }

/** Converts a line that has a buffer of its own. */
export function toStoredLine(line: Uint8Array): StoredLine & Pick<StoredRecord, 'line'> {
  return { line, lineBytes: line.length, copyLine: (into, at) => into.set(line, at) }
}
