/** A record of a Kafka record set (format v2) as kafkajs hands it to be encoded. */
export type RecordInput = {
  key?: unknown
  value?: unknown
  headers?: Record<string, unknown>
  offsetDelta?: number
  timestampDelta?: number
}

/** What kafkajs takes for its own Encoder: it reads these two and nothing else. */
export type Encoded = { buf: Buffer; buffer: Buffer }

/**
 * Encodes a record of our shape in one allocation of the right size, and leaves any other to `original`,
 * which allocates and clears 512 bytes for the record and for each header, and grows by copying.
 */
export function toRecordEncoder(
  original: (input: RecordInput) => Encoded,
): (input: RecordInput) => Encoded {
  return (input) => {
    const record = toOurs(input)
    return record ? encode(record) : original(input)
  }
}

type Ours = {
  key: Buffer | null
  value: Buffer
  /** Name, value, name, value, … */
  headers: readonly string[]
  offsetDelta: number
}

function toOurs({ key, value, headers = {}, offsetDelta = 0, timestampDelta = 0 }: RecordInput) {
  if (timestampDelta !== 0 || !Buffer.isBuffer(value)) return undefined
  if (key !== null && !Buffer.isBuffer(key)) return undefined
  const texts: string[] = []
  for (const name in headers) {
    const text = headers[name]
    if (typeof text !== 'string') return undefined
    texts.push(name, text)
  }
  return { key, value, headers: texts, offsetDelta } satisfies Ours
}

function encode({ key, value, headers, offsetDelta }: Ours): Encoded {
  const lengths = headers.map((text) => Buffer.byteLength(text))
  let size = 2 + sizeOf(offsetDelta) + sizeOf(key ? key.length : -1) + (key?.length ?? 0)
  size += sizeOf(value.length) + value.length + sizeOf(headers.length / 2)
  for (const length of lengths) size += sizeOf(length) + length
  const bytes = Buffer.allocUnsafe(sizeOf(size) + size)
  let at = writeVarint(bytes, 0, size)
  bytes[at] = 0 // No attributes.
  bytes[at + 1] = 0 // The time is that of the set.
  at = writeVarint(bytes, at + 2, offsetDelta)
  at = writeVarint(bytes, at, key ? key.length : -1)
  if (key) at += key.copy(bytes, at)
  at = writeVarint(bytes, at, value.length)
  at += value.copy(bytes, at)
  at = writeVarint(bytes, at, headers.length / 2)
  for (let index = 0; index < headers.length; index += 1) {
    at = writeVarint(bytes, at, lengths[index]!)
    at += bytes.write(headers[index]!, at, 'utf8')
  }
  return { buf: bytes, buffer: bytes }
}

/** Kafka's varints are signed: 0, -1, 1, -2, … become 0, 1, 2, 3, … */
const toZigzag = (value: number) => (value << 1) ^ (value >> 31)

function sizeOf(value: number): number {
  let rest = toZigzag(value) >>> 7
  let bytes = 1
  for (; rest !== 0; rest >>>= 7) bytes += 1
  return bytes
}

function writeVarint(bytes: Buffer, start: number, value: number): number {
  let rest = toZigzag(value) >>> 0
  let at = start
  for (; rest > 0x7f; rest >>>= 7) {
    bytes[at] = (rest & 0x7f) | 0x80
    at += 1
  }
  bytes[at] = rest
  return at + 1
}
