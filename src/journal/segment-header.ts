import { crc32 } from 'node:zlib'
import { isBlank } from './frame.ts'

/** What a segment says of itself, and of what was committed before it. */
export type SegmentHeader = {
  journalId: string
  number: number
  /** Sequence and offset that the first commit of this segment has. */
  firstSequence: number
  firstOffset: number
  /**
   * The last commit in the segments before this one. Whatever follows it there was refused, though
   * it may have reached the disk.
   */
  lastCommittedSequence: number
  createdMs: number
}

/** The header stands twice, each copy in a disk sector of its own: one may spoil. Frames follow. */
const copyBytes = 512
export const segmentHeaderBytes = 2 * copyBytes

const magic = Buffer.from('Spillway')
const version = 1
const checksumAt = copyBytes - 4

/**
 * `blank`: never put into service. `spoiled`: no copy can be read. `worn`: one copy has spoiled,
 * the other is sound. Throws when a sound header is of another version.
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

export function parseHeader(bytes: Buffer): HeaderState {
  const copies = [bytes.subarray(0, copyBytes), bytes.subarray(copyBytes, segmentHeaderBytes)]
  const headers = copies.map(parseCopy)
  const header = headers[0] ?? headers[1]
  if (!header) return { state: copies.every(isBlank) ? 'blank' : 'damaged' }
  // A blank copy was not written in time; one with other bytes was, and has changed since.
  const isWorn = copies.some((copy, index) => !headers[index] && !isBlank(copy))
  return { state: isWorn ? 'partial' : 'valid', header }
}

function parseCopy(copy: Buffer): SegmentHeader | undefined {
  if (copy.length < copyBytes || !copy.subarray(0, magic.length).equals(magic)) return undefined
  if (crc32(copy.subarray(0, checksumAt)) !== copy.readUInt32LE(checksumAt)) return undefined
  const found = copy.readUInt32LE(8)
  if (found !== version)
    throw new Error(`the journal is of format ${found}; this server reads format ${version}`)
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
