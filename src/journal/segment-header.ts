import { crc32 } from 'node:zlib'
import { isBlank } from './frame.ts'

/** The start of a segment file (docs/journal.md). */
export type SegmentHeader = {
  journalId: string
  number: number
  /** Sequence and offset of the first commit in this segment. */
  firstSequence: number
  firstOffset: number
  /**
   * Sequence of the last commit in the earlier segments. Frames behind it there were refused, though
   * their bytes may be on disk.
   */
  lastCommittedSequence: number
  createdMs: number
}

/** Two copies, each in a disk sector of its own: one may be damaged. Frames follow. */
const copyBytes = 512
export const segmentHeaderBytes = 2 * copyBytes

const magic = Buffer.from('Spillway')
const version = 1
const checksumAt = copyBytes - 4

/**
 * `blank`: both copies are zero; the segment was never used. `damaged`: no copy is valid. `partial`:
 * one copy is valid and the other is damaged.
 */
export type HeaderState =
  | { state: 'blank' | 'damaged' }
  | { state: 'valid' | 'partial'; header: SegmentHeader }

export function toHeaderBytes(header: SegmentHeader): Buffer {
  const copy = Buffer.alloc(copyBytes)
  magic.copy(copy)
  copy.writeUInt32LE(version, 8)
  copy.write(header.journalId.replaceAll('-', ''), 16, 'hex')
  copy.writeDoubleLE(header.number, 32)
  copy.writeDoubleLE(header.firstSequence, 40)
  copy.writeDoubleLE(header.firstOffset, 48)
  copy.writeDoubleLE(header.lastCommittedSequence, 56)
  copy.writeDoubleLE(header.createdMs, 64)
  copy.writeUInt32LE(crc32(copy.subarray(0, checksumAt)), checksumAt)
  return Buffer.concat([copy, copy])
}

/** Throws if a valid header has another version. */
export function parseHeader(bytes: Buffer): HeaderState {
  const copies = [bytes.subarray(0, copyBytes), bytes.subarray(copyBytes, segmentHeaderBytes)]
  const headers = copies.map(parseCopy)
  const header = headers[0] ?? headers[1]
  if (!header) return { state: copies.every(isBlank) ? 'blank' : 'damaged' }
  // A blank copy was not written before a crash; a copy with other bytes was damaged later.
  const isWorn = copies.some((copy, index) => !headers[index] && !isBlank(copy))
  return { state: isWorn ? 'partial' : 'valid', header }
}

function parseCopy(copy: Buffer): SegmentHeader | undefined {
  if (copy.length < copyBytes || !copy.subarray(0, magic.length).equals(magic)) return undefined
  if (crc32(copy.subarray(0, checksumAt)) !== copy.readUInt32LE(checksumAt)) return undefined
  const found = copy.readUInt32LE(8)
  if (found !== version)
    throw new Error(
      `the journal has format ${found}, this server reads format ${version}: use another version`,
    )
  return {
    journalId: toUuid(copy.toString('hex', 16, 32)),
    number: copy.readDoubleLE(32),
    firstSequence: copy.readDoubleLE(40),
    firstOffset: copy.readDoubleLE(48),
    lastCommittedSequence: copy.readDoubleLE(56),
    createdMs: copy.readDoubleLE(64),
  }
}

function toUuid(hex: string): string {
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}
