import { crc32 } from 'node:zlib'

/**
 * A frame is one commit: header and payload (docs/journal.md). Header, little-endian: u32 magic, u32
 * checksum of the rest of the header, u32 payload length, u32 payload checksum, f64 sequence, f64
 * first offset, u32 record count, u32 segment number. Both checksums are seeded with the journal's
 * identity, so that a frame of another journal is not accepted.
 */
export const frameHeaderBytes = 40

/** After damage a reader searches for these bytes. */
export const frameMagic = Buffer.from('SpFr')

export type FrameHeader = {
  sequence: number
  firstOffset: number
  count: number
  payloadBytes: number
  payloadChecksum: number
}

/** Common to all frames of a segment. */
export type FrameOrigin = { segment: number; seed: number }

export function toSeed(journalId: string): number {
  return crc32(journalId)
}

/** Writes the header into `frame`, whose payload is already in place. */
export function sealFrame(
  frame: Buffer,
  { segment, seed }: FrameOrigin,
  { sequence, firstOffset, count }: Pick<FrameHeader, 'sequence' | 'firstOffset' | 'count'>,
): void {
  frameMagic.copy(frame)
  frame.writeUInt32LE(frame.length - frameHeaderBytes, 8)
  frame.writeUInt32LE(crc32(frame.subarray(frameHeaderBytes), seed), 12)
  frame.writeDoubleLE(sequence, 16)
  frame.writeDoubleLE(firstOffset, 24)
  frame.writeUInt32LE(count, 32)
  frame.writeUInt32LE(segment, 36)
  frame.writeUInt32LE(crc32(frame.subarray(8, frameHeaderBytes), seed), 4)
}

/** The header at the start of `bytes`, or undefined if it is not a valid one of this origin. */
export function toFrameHeader(bytes: Buffer, origin: FrameOrigin): FrameHeader | undefined {
  if (bytes.length < frameHeaderBytes || !bytes.subarray(0, 4).equals(frameMagic)) return undefined
  const checksum = crc32(bytes.subarray(8, frameHeaderBytes), origin.seed)
  if (checksum !== bytes.readUInt32LE(4) || bytes.readUInt32LE(36) !== origin.segment)
    return undefined
  return {
    payloadBytes: bytes.readUInt32LE(8),
    payloadChecksum: bytes.readUInt32LE(12),
    sequence: bytes.readDoubleLE(16),
    firstOffset: bytes.readDoubleLE(24),
    count: bytes.readUInt32LE(32),
  }
}

export function isPayloadValid(payload: Buffer, header: FrameHeader, seed: number): boolean {
  return payload.length === header.payloadBytes && crc32(payload, seed) === header.payloadChecksum
}

/**
 * A disk writes whole sectors, and prepared space is zero, so the unwritten part of a frame is still
 * zero. A complete frame has no sector of zeros and does not end with a zero byte: a line ends with
 * a newline.
 */
const sectorBytes = 512

/**
 * Whether an invalid frame is an unfinished write, which was never acknowledged, and not damage.
 * `bytes` is the frame from `position` in the file to its end, or to the last byte that is not zero.
 */
export function isTorn(bytes: Buffer, position: number, header: FrameHeader | undefined): boolean {
  const isCut = header
    ? bytes.length < frameHeaderBytes + header.payloadBytes || bytes.at(-1) === 0
    : bytes.length <= frameHeaderBytes
  return isCut || hasBlankSector(bytes, position)
}

function hasBlankSector(bytes: Buffer, position: number): boolean {
  let start = 0
  while (start < bytes.length) {
    const end = start + sectorBytes - ((position + start) % sectorBytes)
    if (isBlank(bytes.subarray(start, end))) return true
    start = end
  }
  return false
}

export function isBlank(bytes: Buffer): boolean {
  return bytes.every((byte) => byte === 0)
}
