import type { JournalRecord } from '../core/record.ts'
import { type FrameHeader, type FrameOrigin, frameHeaderBytes, sealFrame } from './frame.ts'
import { encodeRecord, type RecordBuffer, toEncodedBytesMax } from './record-codec.ts'

/** Enough for a commit under typical load; a larger commit grows the buffer. */
const initialBytes = 256 * 1024
/** A larger buffer is freed instead of kept for the next commit. */
const keptBytesMax = 8 * 1024 * 1024

/** The records of one commit. Each is encoded as it arrives, behind the space for the frame header. */
export type Block = {
  readonly count: number
  /** Length of the frame so far, header included. */
  readonly frameBytes: number
  /** Length of the encoded records. */
  readonly payloadBytes: number
  /** When the first record was received. */
  readonly receivedMs: number
  /** Encodes all of `records`. Throws and keeps none when one of them cannot be encoded. */
  add(records: readonly JournalRecord[]): void
  /** Writes the header and returns the frame: a view that is valid until `empty`. */
  seal(origin: FrameOrigin, place: Pick<FrameHeader, 'sequence' | 'firstOffset'>): Buffer
  /** A copy of the encoded records, to be transferred to another thread. */
  copyPayload(): Uint8Array
  empty(): void
}

export function createBlock(): Block {
  let target = createBuffer(initialBytes)
  let frameBytes = frameHeaderBytes
  let count = 0
  let receivedMs = 0

  function add(records: readonly JournalRecord[]): void {
    let end = frameBytes
    for (const record of records) {
      const bytesMax = toEncodedBytesMax(record)
      if (end + bytesMax > target.bytes.length) target = createLarger(target, end, bytesMax)
      end = encodeRecord(record, target, end)
    }
    if (count === 0) receivedMs = records[0]?.receivedMs ?? 0
    frameBytes = end
    count += records.length
  }

  function empty(): void {
    if (target.bytes.length > keptBytesMax) {
      release(target)
      target = createBuffer(initialBytes)
    }
    frameBytes = frameHeaderBytes
    count = 0
  }

  return {
    get count() {
      return count
    },
    get frameBytes() {
      return frameBytes
    },
    get payloadBytes() {
      return frameBytes - frameHeaderBytes
    },
    get receivedMs() {
      return receivedMs
    },
    add,
    seal(origin, place) {
      const frame = target.bytes.subarray(0, frameBytes)
      sealFrame(frame, origin, { ...place, count })
      return frame
    },
    copyPayload: () =>
      new Uint8Array(target.bytes.buffer as ArrayBuffer).slice(frameHeaderBytes, frameBytes),
    empty,
  }
}

function createBuffer(bytes: number): RecordBuffer {
  const buffer = new ArrayBuffer(bytes)
  return { bytes: Buffer.from(buffer), view: new DataView(buffer) }
}

function createLarger(target: RecordBuffer, usedBytes: number, moreBytes: number): RecordBuffer {
  const larger = createBuffer(Math.max(2 * target.bytes.length, usedBytes + moreBytes))
  larger.bytes.set(target.bytes.subarray(0, usedBytes))
  release(target)
  return larger
}

/** Frees the memory at once: the garbage collector would let many outgrown buffers accumulate. */
function release({ bytes }: RecordBuffer): void {
  ;(bytes.buffer as ArrayBuffer).transfer(0)
}
