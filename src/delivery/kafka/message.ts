import type { Kind, Source } from '../../core/event.ts'
import {
  type EncodedRecord,
  type JournalRecord,
  type StoredRecord,
  toEncodedRecord,
} from '../../core/record.ts'
import type { KafkaTopics } from './settings.ts'

/**
 * A record as it is sent: the encoder copies its fields from where they lie. The headers are `uuid`,
 * `event` and `source`; with a gzipped value `content-encoding`, too.
 */
export type KafkaMessage = {
  fields: EncodedRecord
  source: Source
  /** Without a key (overflow) a message may go to any partition. */
  hasKey: boolean
  /** The value if it is compressed by itself; else the line. */
  gzipped: Buffer | undefined
  /** An upper bound of the bytes that it takes in a record set, headers included. */
  bytesMax: number
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
 * When the properties exceed `compressAboveBytes` (0 = never), the value is gzipped and the header
 * `content-encoding` is `gzip`.
 */
export function toMessage(record: StoredRecord, compressAboveBytes: number): KafkaMessage {
  const fields = record.encoded()
  const gzipped = shouldCompress(record.kind, fields, compressAboveBytes)
    ? gzip(fields.bytes.subarray(fields.lineAt, fields.lineEnd))
    : undefined
  return createMessage({ fields, source: record.source, hasKey: !isKeyless(record), gzipped })
}

/** The message of a dead letter that did not go through the journal. */
export function toDeadLetterMessage(letter: JournalRecord): KafkaMessage {
  const { source } = letter
  return createMessage({
    fields: toEncodedRecord(letter),
    source,
    hasKey: true,
    gzipped: undefined,
  })
}

function createMessage(message: Omit<KafkaMessage, 'bytesMax'>): KafkaMessage {
  const { fields, source, hasKey, gzipped } = message
  const headBytes = fields.keyEnd - fields.uuidAt
  const bytesMax = toValueBytes(message) + headBytes + overheadBytesMax
  return { fields, source, hasKey, gzipped, bytesMax }
}

export const toValueBytes = ({ fields, gzipped }: Omit<KafkaMessage, 'bytesMax'>) =>
  gzipped ? gzipped.length : fields.lineEnd - fields.lineAt

/** Header names, lengths, offset and time of a record, and the header of its set. */
const overheadBytesMax = 192

function gzip(line: Buffer): Buffer {
  const options = { library: 'libdeflate', level: 1 } as const
  const bytes = Bun.gzipSync(line as Uint8Array<ArrayBuffer>, options)
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** Spread an overflowing key over all partitions: it would block the other keys of its partition. */
const isKeyless = ({ kind, route }: StoredRecord) => kind === 'event' && route === 'overflow'

/** The field that clients may fill with any amount of data. The other kinds have bounded columns. */
const freeField: Partial<Record<Kind, string>> = {
  event: 'properties',
  recording: 'snapshot_items',
}

function shouldCompress(kind: Kind, fields: EncodedRecord, aboveBytes: number): boolean {
  const { bytes, lineAt, lineEnd } = fields
  const field = freeField[kind]
  if (field === undefined || aboveBytes === 0 || lineEnd - lineAt <= aboveBytes) return false
  return isValueLarger(bytes.subarray(lineAt, lineEnd), field, aboveBytes)
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
