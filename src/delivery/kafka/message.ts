import type { Kind } from '../../core/event.ts'
import { type JournalRecord, type StoredRecord, toLineText } from '../../core/record.ts'
import type { KafkaTopics } from './settings.ts'

/** A record as it is sent. Without a key (overflow) it may go to any partition. */
export type KafkaMessage = {
  key: Buffer | null
  value: Buffer
  headers: Record<string, string>
}

/** Recordings, link events and dead letters have a topic each; an event's route chooses its topic. */
export function toTopic(
  topics: KafkaTopics,
  { kind, route }: Pick<StoredRecord, 'kind' | 'route'>,
): string {
  if (kind === 'recording') return topics.recordings
  if (kind === 'link') return topics.linkEvents
  if (kind === 'dead_letter') return topics.deadLetters
  return { main: topics.events, overflow: topics.overflow, historical: topics.historical }[route]
}

/**
 * The value is the line without its newline. The headers are `uuid`, `event` and `source`. When the
 * properties exceed `compressAboveBytes` (0 = never), the value is gzipped and the header
 * `content-encoding` is `gzip`.
 */
export function toMessage(record: StoredRecord, compressAboveBytes: number): KafkaMessage {
  const { uuid, event, key } = record.head()
  const headers: Record<string, string> = { uuid, event, source: record.source }
  const line = toBuffer(record.line).subarray(0, -1)
  const message = { key: isKeyless(record) ? null : Buffer.from(key), headers }
  if (!shouldCompress(record.kind, line, compressAboveBytes)) return { ...message, value: line }
  headers['content-encoding'] = 'gzip'
  return {
    ...message,
    value: toBuffer(
      Bun.gzipSync(line as Uint8Array<ArrayBuffer>, { library: 'libdeflate', level: 1 }),
    ),
  }
}

/** The message of a dead letter that did not go through the journal. */
export function toDeadLetterMessage(letter: JournalRecord): KafkaMessage {
  const { uuid, event, key, source, line } = letter
  return {
    key: Buffer.from(key),
    value: Buffer.from(toLineText(line)),
    headers: { uuid, event, source },
  }
}

/** Spread an overflowing key over all partitions: it would block the other keys of its partition. */
const isKeyless = ({ kind, route }: StoredRecord) => kind === 'event' && route === 'overflow'

/** An upper bound of the bytes that a message takes in a record set, headers included. */
export function toBytesMax({ key, value, headers }: KafkaMessage): number {
  // A character takes at most three bytes. 192 bytes cover header names, lengths, offset and time.
  const headerBytes = 3 * (headers.uuid!.length + headers.event!.length)
  return value.length + (key?.length ?? 0) + headerBytes + 192
}

/** The field that clients may fill with any amount of data. The other kinds have bounded columns. */
const freeField: Partial<Record<Kind, string>> = {
  event: 'properties',
  recording: 'snapshot_items',
}

function shouldCompress(kind: Kind, line: Buffer, aboveBytes: number): boolean {
  const field = freeField[kind]
  return field !== undefined && aboveBytes > 0 && isValueLarger(line, field, aboveBytes)
}

/** kafkajs encodes any other Uint8Array as text. This is a view, not a copy. */
function toBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/**
 * Whether the value of a top-level field takes more than `bytesMax` bytes of a canonical line. All
 * fields before it must be strings. Scans at most `bytesMax` bytes of the value and parses no JSON.
 */
export function isValueLarger(line: Buffer, field: string, bytesMax: number): boolean {
  if (line.length <= bytesMax) return false
  const needle = toNeedle(field)
  const found = line.indexOf(needle)
  if (found < 0) return false
  const start = found + needle.length
  if (line.length - start <= bytesMax) return false
  return !endsWithin(line, start, bytesMax)
}

/** A quote inside a string is escaped, so these bytes can only be the name of the field. */
function toNeedle(field: string): Buffer {
  const known = needles.get(field)
  if (known) return known
  const needle = Buffer.from(`,"${field}":`)
  needles.set(field, needle)
  return needle
}

const needles = new Map<string, Buffer>()

const quote = 0x22
const backslash = 0x5c

/** Whether the JSON object, array or string that begins at `start` ends within `bytesMax` bytes. */
function endsWithin(line: Uint8Array, start: number, bytesMax: number): boolean {
  let depth = 0
  let isInString = false
  for (let at = start; at < start + bytesMax; at += 1) {
    const byte = line[at]!
    if (isInString) {
      if (byte === backslash) at += 1
      else if (byte === quote) isInString = false
    } else if (byte === quote) isInString = true
    else if (byte === 0x7b || byte === 0x5b) depth += 1
    else if (byte === 0x7d || byte === 0x5d) depth -= 1
    if (depth === 0 && !isInString) return true
  }
  return false
}
