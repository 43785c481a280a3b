import type { StoredRecord } from '../core/record.ts'
import type { ReadableFile } from './file-system.ts'
import { frameHeaderBytes, sealFrame, toSeed } from './frame.ts'
import { toRecordBytes, toRecords } from './record-codec.ts'
import { createScanner } from './scanner.ts'
import { parseHeader, segmentHeaderBytes, toHeaderBytes } from './segment-header.ts'

/** A frame is read as a whole, so its size is bounded. A larger record has a frame of its own. */
const frameBytesMax = 1024 * 1024
const number = 1

/**
 * A segment that holds these records of a journal and no others. Equal records give equal bytes.
 * Their offsets rise, and may have gaps.
 */
export function toSegment(journalId: string, records: readonly StoredRecord[]): Buffer {
  const runs = [...toRuns(records)]
  const header = toHeaderBytes({
    ...{ journalId, number, firstSequence: 1, lastCommittedSequence: 0 },
    firstOffset: records[0]?.offset ?? 0,
    createdMs: records[0]?.receivedMs ?? 0,
  })
  const bytes = runs.reduce((sum, run) => sum + frameHeaderBytes + run.bytes, header.length)
  const segment = Buffer.allocUnsafeSlow(bytes)
  header.copy(segment)
  let at = header.length
  for (const [index, run] of runs.entries()) {
    const frame = segment.subarray(at, at + frameHeaderBytes + run.bytes)
    let end = frameHeaderBytes
    for (const part of run.parts) {
      frame.set(part, end)
      end += part.length
    }
    const { firstOffset, parts } = run
    const origin = { segment: number, seed: toSeed(journalId) }
    sealFrame(frame, origin, { sequence: index + 1, firstOffset, count: parts.length })
    at += frame.length
  }
  return segment
}

type Run = { firstOffset: number; parts: Uint8Array[]; bytes: number }

/** Records with offsets in a row, each run up to the size of a frame. */
function* toRuns(records: readonly StoredRecord[]): Generator<Run> {
  let run: Run | undefined
  for (const record of records) {
    const part = toRecordBytes(record)
    const isNext = run !== undefined && record.offset === run.firstOffset + run.parts.length
    if (!run || !isNext || run.bytes + part.length > frameBytesMax) {
      if (run) yield run
      run = { firstOffset: record.offset, parts: [], bytes: 0 }
    }
    run.parts.push(part)
    run.bytes += part.length
  }
  if (run) yield run
}

/**
 * The journal of a segment, and its records by frame. The generator throws at the first damaged frame.
 */
export function readSegment(segment: Buffer): {
  journalId: string
  frames: AsyncGenerator<StoredRecord[]>
} {
  const found = parseHeader(segment.subarray(0, segmentHeaderBytes))
  if (!('header' in found)) throw new Error(`its header is ${found.state}`)
  const { journalId } = found.header
  return { journalId, frames: readFrames(segment, journalId) }
}

async function* readFrames(segment: Buffer, journalId: string): AsyncGenerator<StoredRecord[]> {
  const origin = { segment: number, seed: toSeed(journalId) }
  const scanner = createScanner({ file: toFile(segment), origin, lastSequence: 0 })
  for (let frame = await scanner.peek(); frame; frame = await scanner.peek()) {
    yield toRecords({ ...frame, bytes: frame.payload })
    scanner.advance()
  }
  const { position } = scanner
  if (position < segment.length)
    throw new Error(`it is damaged at byte ${position} of ${segment.length}`)
}

const toFile = (segment: Buffer): ReadableFile => ({
  read: async (into, position) => {
    const part = segment.subarray(position, position + into.length)
    into.set(part)
    return part.length
  },
})
