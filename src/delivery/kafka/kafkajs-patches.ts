import { createRequire } from 'node:module'

/**
 * kafkajs 2.2.4 with three defects patched. The package is no longer maintained, so the defects stay
 * and the paths of its files do not change. Measured: the three defects cost more than half of the
 * CPU per record.
 */
export const kafkajs: typeof import('kafkajs') = loadPatched(createRequire(import.meta.url))

function loadPatched(load: NodeJS.Require): typeof import('kafkajs') {
  replace(load, 'producer/groupMessagesPerPartition.js', () => groupByPartition)
  replace(load, 'protocol/recordBatch/record/v0/index.js', toRecordEncoder)
  stopIdlePolling(
    (load('kafkajs/src/network/requestQueue') as { prototype: RequestQueue }).prototype,
  )
  return load('kafkajs')
}

/** Replaces the exports of a module for every later `require`. */
function replace<T>(load: NodeJS.Require, file: string, patch: (original: T) => T): void {
  const path = load.resolve(`kafkajs/src/${file}`)
  const original = load(path) as T
  const module = load.cache[path]
  if (!module) throw new Error(`cannot patch kafkajs: it has no ${file}; install kafkajs 2.2.4`)
  module.exports = patch(original)
}

type Grouping = {
  topic: string
  partitionMetadata: readonly unknown[]
  messages: readonly unknown[]
  partitioner(one: {
    topic: string
    partitionMetadata: readonly unknown[]
    message: unknown
  }): number
}

/** The original copies all earlier messages of the partition for each message: O(n²). */
function groupByPartition({ topic, partitionMetadata, messages, partitioner }: Grouping) {
  const groups: Record<number, unknown[]> = {}
  if (partitionMetadata.length === 0) return groups
  for (const message of messages) {
    const partition = partitioner({ topic, partitionMetadata, message })
    groups[partition] ??= []
    groups[partition].push(message)
  }
  return groups
}

type RequestQueue = { pending: readonly unknown[]; scheduleCheckPendingRequests(): void }

/**
 * After its first answer the original checks for pending requests a thousand times a second for ever,
 * with a negative timer delay, which Bun warns of. The patch checks only while requests are pending.
 */
function stopIdlePolling(queue: RequestQueue): void {
  const schedule = queue.scheduleCheckPendingRequests
  queue.scheduleCheckPendingRequests = function (this: RequestQueue) {
    if (this.pending.length > 0) schedule.call(this)
  }
}

/** The arguments of kafkajs' encoder of one record (record set format v2). */
export type RecordInput = {
  key?: unknown
  value?: unknown
  headers?: Record<string, unknown>
  offsetDelta?: number
  timestampDelta?: number
}

/** kafkajs reads these two fields of the encoder's result and no others. */
export type Encoded = { buf: Buffer; buffer: Buffer }

/**
 * Encodes a record of this sink's shape into one allocation of the exact size. Any other record goes
 * to `original`, which allocates and clears 512 bytes for the record and for each header, and copies
 * to grow.
 */
export function toRecordEncoder(
  original: (input: RecordInput) => Encoded,
): (input: RecordInput) => Encoded {
  return (input) => {
    const record = toPlainRecord(input)
    return record ? encode(record) : original(input)
  }
}

type PlainRecord = {
  key: Buffer | null
  value: Buffer
  /** Name, value, name, value, … */
  headers: readonly string[]
  offsetDelta: number
}

/** Undefined when the record has another shape than the sink's messages. */
function toPlainRecord(input: RecordInput): PlainRecord | undefined {
  const { key, value, headers = {}, offsetDelta = 0, timestampDelta = 0 } = input
  if (timestampDelta !== 0 || !Buffer.isBuffer(value)) return undefined
  if (key !== null && !Buffer.isBuffer(key)) return undefined
  const texts: string[] = []
  for (const name in headers) {
    const text = headers[name]
    if (typeof text !== 'string') return undefined
    texts.push(name, text)
  }
  return { key, value, headers: texts, offsetDelta }
}

function encode({ key, value, headers, offsetDelta }: PlainRecord): Encoded {
  const lengths = headers.map((text) => Buffer.byteLength(text))
  let size = 2 + sizeOf(offsetDelta) + sizeOf(key ? key.length : -1) + (key?.length ?? 0)
  size += sizeOf(value.length) + value.length + sizeOf(headers.length / 2)
  for (const length of lengths) size += sizeOf(length) + length
  const bytes = Buffer.allocUnsafe(sizeOf(size) + size)
  let at = writeVarint(bytes, 0, size)
  bytes[at] = 0 // Attributes: none.
  bytes[at + 1] = 0 // Timestamp delta: the record has the time of its set.
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
