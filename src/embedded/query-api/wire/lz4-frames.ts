import { createQueryError } from '../../chdb/exceptions.ts'
import { decompressLz4 } from './lz4.ts'

/**
 * `Content-Encoding: lz4`: LZ4 frames
 * (https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md), in which clickhouse-connect sends
 * its inserts. Their checksums are skipped: TCP has its own, and a damaged block is found anyway.
 */
const magic = 0x184d2204
/** A match reaches back at most this far, also into the blocks before. */
const historyBytes = 64 * 1024
const flags = { hasBlockChecksum: 0x10, hasSize: 0x08, hasChecksum: 0x04, hasDictionary: 0x01 }

/** The stream fails with a QueryError for a damaged frame. */
export function createFrameDecompression(): TransformStream<Uint8Array, Uint8Array> {
  let rest: Buffer = Buffer.alloc(0)
  let frame: Frame | undefined
  return new TransformStream({
    transform(chunk, controller) {
      rest = Buffer.concat([rest, chunk])
      for (;;) {
        frame ??= readHeader(rest)
        if (frame === undefined) return
        rest = rest.subarray(frame.headerBytes)
        frame.headerBytes = 0
        const blockBytes = toBlockBytes(frame, rest)
        if (blockBytes === undefined) return
        const plain = readBlock(frame, rest.subarray(0, blockBytes))
        rest = rest.subarray(blockBytes)
        if (plain === undefined) frame = undefined
        else controller.enqueue(plain)
      }
    },
    flush() {
      if (frame !== undefined || rest.length > 0) throw createDamage('it is cut off')
    },
  })
}

type Frame = {
  headerBytes: number
  flag: number
  plainBytesMax: number
  /** The end of the output so far. */
  history: Uint8Array
}

/** Undefined if the header has not arrived. */
function readHeader(bytes: Buffer): Frame | undefined {
  if (bytes.length < 7) return undefined
  if (bytes.readUInt32LE(0) !== magic) throw createDamage('it is no LZ4 frame')
  const flag = bytes[4]!
  const sizeClass = (bytes[5]! >> 4) & 7
  if (flag >> 6 !== 1 || sizeClass < 4 || flag & flags.hasDictionary)
    throw createDamage('its header is of an unknown kind')
  const headerBytes = flag & flags.hasSize ? 15 : 7
  if (bytes.length < headerBytes) return undefined
  const plainBytesMax = 2 ** (8 + 2 * sizeClass)
  return { headerBytes, flag, plainBytesMax, history: new Uint8Array() }
}

/** The bytes of the next block with its size and checksum, or of the frame's end. */
function toBlockBytes({ flag, plainBytesMax }: Frame, bytes: Buffer): number | undefined {
  if (bytes.length < 4) return undefined
  const size = bytes.readUInt32LE(0) & 0x7fffffff
  if (size > plainBytesMax) throw createDamage(`a block has ${size} bytes`)
  const hasChecksum = size === 0 ? flag & flags.hasChecksum : flag & flags.hasBlockChecksum
  const needed = 4 + size + (hasChecksum ? 4 : 0)
  return bytes.length < needed ? undefined : needed
}

/** Undefined for the end of the frame. */
function readBlock(frame: Frame, block: Buffer): Uint8Array | undefined {
  const word = block.readUInt32LE(0)
  const size = word & 0x7fffffff
  if (size === 0) return undefined
  const data = block.subarray(4, 4 + size)
  const { history, plainBytesMax } = frame
  const isPlain = word >>> 31 === 1
  const output = new Uint8Array(history.length + (isPlain ? size : plainBytesMax))
  output.set(history)
  const end = isPlain ? output.length : decompress(data, output, history.length)
  if (isPlain) output.set(data, history.length)
  frame.history = output.slice(Math.max(0, end - historyBytes), end)
  return output.subarray(history.length, end)
}

function decompress(data: Uint8Array, output: Uint8Array, start: number): number {
  try {
    return decompressLz4(data, output, start)
  } catch (error) {
    throw createDamage(error instanceof Error ? error.message : String(error))
  }
}

const createDamage = (reason: string) =>
  createQueryError('CANNOT_DECOMPRESS', `The body in LZ4 cannot be read: ${reason}`)
