import type { JournalRecord } from '../core/record.ts'
import { type FrameHeader, type FrameOrigin, frameHeaderBytes, sealFrame } from './frame.ts'
import { encodeRecord, type RecordBuffer, toEncodedBytesMax } from './record-codec.ts'

/** Enough for a commit under everyday load; larger ones grow theirs. */
const initialBytes = 256 * 1024
/** A buffer above this is given back rather than kept for the next commit. */
const keptBytesMax = 8 * 1024 * 1024

/**
 * Records gathered for one commit, encoded as they arrive into a frame that lacks only its header.
 */
export type Block = {
  readonly count: number
  /** Length of the frame so far. */
  readonly frameBytes: number
  /** Length of its records alone. */
  readonly payloadBytes: number
  /** When the first record was received. */
  readonly receivedMs: number
  /** Encodes all of `records` or, when one cannot be encoded, throws and keeps none. */
  add(records: readonly JournalRecord[]): void
  /** The finished frame: a view, good until the block is emptied. */
  seal(origin: FrameOrigin, place: Pick<FrameHeader, 'sequence' | 'firstOffset'>): Buffer
  /** The records' bytes, in memory of their own: they leave for another thread. */
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

/** At once: the collector would let the outgrown buffers of many commits pile up. */
function release({ bytes }: RecordBuffer): void {
  ;(bytes.buffer as ArrayBuffer).transfer(0)
}
