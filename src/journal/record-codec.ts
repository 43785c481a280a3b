import {
  type DedupKey,
  type Kind,
  kindNumbers,
  type Route,
  routeNumbers,
  type Source,
  sourceNumbers,
} from '../core/event.ts'
import type {
  CommittedBlock,
  EncodedRecord,
  JournalRecord,
  Line,
  RecordHead,
  StoredRecord,
} from '../core/record.ts'

/**
 * A record, little-endian (docs/journal.md): u32 length of the record, u32 length of the line, f64
 * receivedMs, u8 kind, u8 route, u8 source, u8 flags, u32 length of event, u32 length of key, u32
 * length of uuid; then uuid, event, key, dedup key, line.
 */
const fixedBytes = 32
const dedupKeyBytes = 16
const hasDedupKey = 1
const hasPayloadKey = 2
const newline = 10

const kinds = toNames(kindNumbers)
const routes = toNames(routeNumbers)
const sources = toNames(sourceNumbers)

/** A buffer with its DataView, created once and used for many records. */
export type RecordBuffer = { bytes: Buffer; view: DataView }

/** An upper bound of the encoded length of `record`. */
export function toEncodedBytesMax(record: JournalRecord): number {
  const { uuid, event, key, line } = record
  const headBytes = 3 * (uuid.length + event.length + key.length)
  return fixedBytes + headBytes + 2 * dedupKeyBytes + toUtf8BytesMax(line) + 1
}

/** Writes `record` at `at`, where `toEncodedBytesMax` bytes must be free. Returns its end. */
export function encodeRecord(record: JournalRecord, into: RecordBuffer, at: number): number {
  const { view } = into
  const bytes = into.bytes as Buffer & Writes
  const { length } = bytes
  let end = at + fixedBytes
  const uuidBytes = bytes.utf8Write(record.uuid, end, length - end)
  end += uuidBytes
  const eventBytes = bytes.utf8Write(record.event, end, length - end)
  end += eventBytes
  const keyBytes = bytes.utf8Write(record.key, end, length - end)
  end += keyBytes
  let flags = 0
  if (record.dedupKey !== undefined) {
    end += writeDedupKey(record.dedupKey, bytes, end)
    flags |= hasDedupKey
  }
  if (record.payloadKey !== undefined) {
    end += writeDedupKey(record.payloadKey, bytes, end)
    flags |= hasPayloadKey
  }
  const lineAt = end
  end += writeLine(record.line, bytes, end)
  bytes[end] = newline
  end += 1
  view.setUint32(at, end - at, true)
  view.setUint32(at + 4, end - lineAt, true)
  view.setFloat64(at + 8, record.receivedMs, true)
  bytes[at + 16] = kindNumbers[record.kind]
  bytes[at + 17] = routeNumbers[record.route]
  bytes[at + 18] = sourceNumbers[record.source]
  bytes[at + 19] = flags
  view.setUint32(at + 20, eventBytes, true)
  view.setUint32(at + 24, keyBytes, true)
  view.setUint32(at + 28, uuidBytes, true)
  return end
}

/** All records of a block, as views into its bytes. */
export function toRecords(block: CommittedBlock): StoredRecord[] {
  const cursor = createRecordCursor(block)
  return Array.from({ length: block.count }, () => cursor.next())
}

/** Iterates over a block. `nextLineBytes` is 0 behind the last record. */
export type RecordCursor = { readonly nextLineBytes: number; next(): StoredRecord }

export function createRecordCursor(block: CommittedBlock, fromOffset = 0): RecordCursor {
  const { buffer, byteOffset, byteLength } = block.bytes
  const source: RecordBuffer = {
    bytes: Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength),
    view: new DataView(buffer, byteOffset, byteLength),
  }
  const { view } = source
  const endOffset = block.firstOffset + block.count
  let offset = block.firstOffset
  let at = 0
  const step = () => {
    at += view.getUint32(at, true)
    offset += 1
  }
  while (offset < fromOffset && offset < endOffset) step()
  return {
    get nextLineBytes() {
      return offset < endOffset ? view.getUint32(at + 4, true) : 0
    },
    next() {
      if (offset >= endOffset) throw new RangeError('no record left in this block')
      const record = new RecordView(source, at, offset)
      step()
      return record
    },
  }
}

/** The record as a journal holds it. */
export function toRecordBytes(record: StoredRecord): Uint8Array {
  if (record instanceof RecordView) return record.bytes()
  const { kind, route, source, receivedMs, line } = record
  const whole = { ...record.head(), kind, route, source, receivedMs, line: line.subarray(0, -1) }
  const buffer = new ArrayBuffer(toEncodedBytesMax(whole))
  const bytes = Buffer.from(buffer)
  return bytes.subarray(0, encodeRecord(whole, { bytes, view: new DataView(buffer) }, 0))
}

/** The records of a read so far, and what its limits still allow. */
export type Take = { records: StoredRecord[]; bytesLeft: number; recordsLeft: number }

/** Takes records from `cursor` until it ends (true) or a limit is reached (false). */
export function takeRecords(cursor: RecordCursor, take: Take): boolean {
  for (let bytes = cursor.nextLineBytes; bytes > 0; bytes = cursor.nextLineBytes) {
    const isOver = take.records.length > 0 && bytes > take.bytesLeft
    if (isOver || take.recordsLeft <= 0) return false
    take.records.push(cursor.next())
    take.bytesLeft -= bytes
    take.recordsLeft -= 1
  }
  return true
}

/** Decodes its text fields on demand, because shippers need them rarely. */
class RecordView implements StoredRecord {
  readonly offset: number
  readonly kind: Kind
  readonly route: Route
  readonly source: Source
  readonly lineBytes: number
  readonly #block: RecordBuffer
  readonly #at: number
  readonly #end: number

  /**
   * Reads the fields that every shipper needs at once: the bytes are in the CPU cache now, and no
   * longer after thousands of further records.
   */
  constructor(block: RecordBuffer, at: number, offset: number) {
    const { bytes, view } = block
    this.#block = block
    this.#at = at
    this.#end = at + view.getUint32(at, true)
    this.offset = offset
    this.kind = kinds[bytes[at + 16]!] ?? failUnknown('kind', bytes[at + 16], offset)
    this.route = routes[bytes[at + 17]!] ?? failUnknown('route', bytes[at + 17], offset)
    this.source = sources[bytes[at + 18]!] ?? failUnknown('source', bytes[at + 18], offset)
    this.lineBytes = view.getUint32(at + 4, true)
  }

  copyLine(into: Buffer, at: number): void {
    this.#block.bytes.copy(into, at, this.#end - this.lineBytes, this.#end)
  }

  /** The encoded record, as a view. */
  bytes(): Uint8Array {
    return this.#block.bytes.subarray(this.#at, this.#end)
  }

  get receivedMs(): number {
    return this.#block.view.getFloat64(this.#at + 8, true)
  }

  get line(): Uint8Array {
    return this.#block.bytes.subarray(this.#end - this.lineBytes, this.#end)
  }

  encoded(): EncodedRecord {
    const { bytes, view } = this.#block
    const uuidAt = this.#at + fixedBytes
    const eventAt = uuidAt + view.getUint32(this.#at + 28, true)
    const keyAt = eventAt + view.getUint32(this.#at + 20, true)
    const keyEnd = keyAt + view.getUint32(this.#at + 24, true)
    const lineAt = this.#end - this.lineBytes
    return { bytes, uuidAt, eventAt, keyAt, keyEnd, lineAt, lineEnd: this.#end - 1 }
  }

  head(): RecordHead {
    const { bytes, uuidAt, eventAt, keyAt, keyEnd: dedupKeyAt } = this.encoded()
    const flags = bytes[this.#at + 19]!
    const payloadKeyAt = dedupKeyAt + (flags & hasDedupKey ? dedupKeyBytes : 0)
    return {
      uuid: bytes.toString('utf8', uuidAt, eventAt),
      event: bytes.toString('utf8', eventAt, keyAt),
      key: bytes.toString('utf8', keyAt, dedupKeyAt),
      dedupKey: flags & hasDedupKey ? readDedupKey(bytes, dedupKeyAt) : undefined,
      payloadKey: flags & hasPayloadKey ? readDedupKey(bytes, payloadKeyAt) : undefined,
    }
  }
}

const readDedupKey = (bytes: Buffer, at: number): DedupKey =>
  bytes.toString('hex', at, at + dedupKeyBytes)

/** The names of a table of numbers, by number. */
function toNames<Name extends string>(
  numbers: Record<Name, number>,
): readonly (Name | undefined)[] {
  const names: (Name | undefined)[] = []
  for (const [name, number] of Object.entries(numbers)) names[number as number] = name as Name
  return names
}

/** The checksum is valid, so this is no damage, and skipping the record would lose it. */
function failUnknown(field: string, number: number | undefined, offset: number): never {
  throw new Error(
    `journal record ${offset} has the unknown ${field} ${number}: a newer version wrote it; ` +
      'start that version to deliver it',
  )
}

/** Buffer's own functions below `write`, whose check of arguments takes as long as a short text. */
type Writes = {
  utf8Write(text: string, at: number, bytesMax: number): number
  hexWrite(digits: string, at: number, bytesMax: number): number
}

function writeDedupKey(dedupKey: DedupKey, bytes: Writes, at: number): number {
  if (
    dedupKey.length !== 2 * dedupKeyBytes ||
    bytes.hexWrite(dedupKey, at, dedupKeyBytes) !== dedupKeyBytes
  )
    throw new TypeError(`a dedup key is 32 hex digits, not ${JSON.stringify(dedupKey)}`)
  return dedupKeyBytes
}

function writeLine(line: Line, bytes: Buffer & Writes, at: number): number {
  const { length } = bytes
  if (typeof line === 'string') return bytes.utf8Write(line, at, length - at)
  if (line instanceof Uint8Array) {
    bytes.set(line, at)
    return line.length
  }
  let end = at
  for (const piece of line) end += bytes.utf8Write(piece, end, length - end)
  return end - at
}

/** Three bytes per UTF-16 unit is a fast upper bound; for a long line it would waste megabytes. */
function toUtf8BytesMax(line: Line): number {
  if (line instanceof Uint8Array) return line.length
  const pieces = typeof line === 'string' ? [line] : line
  let units = 0
  for (const piece of pieces) units += piece.length
  if (units < 4096) return units * 3
  return pieces.reduce((bytes, piece) => bytes + Buffer.byteLength(piece), 0)
}
