import type { Kind } from '../../core/event.ts'
import type { StoredRecord } from '../../core/record.ts'
import { isValueLarger } from './measure.ts'
import type { KafkaTopics } from './settings.ts'

/** A record as a broker gets it. Without a key (overflow) any partition will do. */
export type KafkaMessage = {
  key: Buffer | null
  value: Buffer
  headers: Record<string, string>
}

/** The topic of a record: recordings and link events have their own, events one by their route. */
export function toTopic(topics: KafkaTopics, { kind, route }: StoredRecord): string {
  if (kind === 'recording') return topics.recordings
  if (kind === 'link') return topics.linkEvents
  if (kind === 'dead_letter') return topics.deadLetters
  return { main: topics.events, overflow: topics.overflow, historical: topics.historical }[route]
}

/**
 * The line without its newline under the record's key, with the headers `uuid`, `event` and `source`.
 * Where the properties exceed `compressAboveBytes` (0 = never) the value is gzipped, and the header
 * `content-encoding` says so.
 */
export function toMessage(record: StoredRecord, compressAboveBytes: number): KafkaMessage {
  const { uuid, event, key } = record.head()
  const headers: Record<string, string> = { uuid, event, source: record.source }
  const line = toBuffer(record.line).subarray(0, -1)
  const message = { key: isKeyless(record) ? null : Buffer.from(key), headers }
  if (!isToBeCompressed(record.kind, line, compressAboveBytes)) return { ...message, value: line }
  headers['content-encoding'] = 'gzip'
  return {
    ...message,
    value: toBuffer(
      Bun.gzipSync(line as Uint8Array<ArrayBuffer>, { library: 'libdeflate', level: 1 }),
    ),
  }
}

/** One overheated key must not jam one partition. */
const isKeyless = ({ kind, route }: StoredRecord) => kind === 'event' && route === 'overflow'

/** An upper bound of what a message takes in a record set, its head included. */
export function toBytesMax({ key, value, headers }: KafkaMessage): number {
  // Characters become at most three bytes each; names, lengths, offset and time are fixed.
  const headerBytes = 3 * (headers.uuid!.length + headers.event!.length)
  return value.length + (key?.length ?? 0) + headerBytes + 192
}

/** Where a kind keeps what clients may fill at will. The others have typed columns, or are cut. */
const freeField: Partial<Record<Kind, string>> = {
  event: 'properties',
  recording: 'snapshot_items',
}

function isToBeCompressed(kind: Kind, line: Buffer, aboveBytes: number): boolean {
  const field = freeField[kind]
  return field !== undefined && aboveBytes > 0 && isValueLarger(line, field, aboveBytes)
}

/** kafkajs takes what is no Buffer for text. This is a view, not a copy. */
function toBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
