import { createQueryError } from '../../chdb/exceptions.ts'

/**
 * LZ4 blocks (https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md). Own code: the packages
 * on npm are without releases for years, or bring a binary for each platform.
 */

const hashBits = 14
/** The end of a block, which no match may reach; the last match starts 12 bytes before the end. */
const [lastLiterals, matchStartMin] = [5, 12]
const distanceMax = 0xffff
const matchMin = 4

/** An upper bound for the compressed size. */
export const toLz4BytesMax = (bytes: number) => bytes + Math.ceil(bytes / 255) + 16

/** Last position of a hash plus one, or 0. Reused, because a thread compresses one block at a time. */
const positions = new Int32Array(1 << hashBits)

/** Compresses `source` into `target` from `start` on, and returns the end of the output. */
export function compressLz4(source: Uint8Array, target: Uint8Array, start: number): number {
  positions.fill(0)
  const view = new DataView(source.buffer, source.byteOffset, source.length)
  let out = start
  let anchor = 0
  let misses = 0
  for (let at = 0; at < source.length - matchStartMin; ) {
    const word = view.getInt32(at, true)
    const hash = Math.imul(word, -1640531535) >>> (32 - hashBits)
    const candidate = positions[hash]! - 1
    positions[hash] = at + 1
    if (candidate < 0 || at - candidate > distanceMax || view.getInt32(candidate, true) !== word) {
      // Larger steps in data that does not compress.
      misses += 1
      at += 1 + (misses >> 6)
      continue
    }
    misses = 0
    const length = toMatchLength(source, candidate, at)
    out = writeSequence({ source, anchor, at, target, out, length, distance: at - candidate })
    at += length
    anchor = at
  }
  return writeLiterals({ source, anchor, at: source.length, target, out, length: 0 })
}

function toMatchLength(source: Uint8Array, candidate: number, at: number): number {
  const end = source.length - lastLiterals
  let same = at + matchMin
  while (same < end && source[same] === source[candidate + same - at]) same += 1
  return same - at
}

type Literals = {
  source: Uint8Array
  anchor: number
  at: number
  target: Uint8Array
  out: number
  /** Of the match that follows; 0 for none. */
  length: number
}

function writeSequence(sequence: Literals & { distance: number }): number {
  const { target, length, distance } = sequence
  let out = writeLiterals(sequence)
  target[out] = distance
  target[out + 1] = distance >>> 8
  out += 2
  return length - matchMin < 15 ? out : writeLength(target, out, length - matchMin - 15)
}

/** The token, and the literals before the match. */
function writeLiterals({ source, anchor, at, target, out, length }: Literals): number {
  const count = at - anchor
  const matched = length === 0 ? 0 : Math.min(length - matchMin, 15)
  target[out] = (Math.min(count, 15) << 4) | matched
  const start = count < 15 ? out + 1 : writeLength(target, out + 1, count - 15)
  // A loop is faster than `set` for the short runs of a typical block.
  if (count > 32) target.set(source.subarray(anchor, at), start)
  else for (let i = 0; i < count; i += 1) target[start + i] = source[anchor + i]!
  return start + count
}

function writeLength(target: Uint8Array, start: number, length: number): number {
  let [out, left] = [start, length]
  for (; left >= 255; left -= 255) target[out++] = 255
  target[out++] = left
  return out
}

/**
 * Decompresses a block into `target` from `start` on, and returns the end of the output. Matches may
 * reach back into `target` before `start`. Throws RangeError for a damaged block, or one that does
 * not fit.
 */
export function decompressLz4(source: Uint8Array, target: Uint8Array, start: number): number {
  let [at, out] = [0, start]
  const readLength = (nibble: number) => {
    let length = nibble
    for (let byte = nibble === 15 ? 255 : 0; byte === 255; length += byte) {
      if (at >= source.length) throw createDamage()
      byte = source[at++]!
    }
    return length
  }
  while (at < source.length) {
    const token = source[at++]!
    const literals = readLength(token >>> 4)
    if (at + literals > source.length || out + literals > target.length) throw createDamage()
    target.set(source.subarray(at, at + literals), out)
    at += literals
    out += literals
    if (at === source.length) return out
    if (at + 2 > source.length) throw createDamage()
    const distance = source[at]! | (source[at + 1]! << 8)
    at += 2
    const length = readLength(token & 15) + matchMin
    if (distance === 0 || distance > out || out + length > target.length) throw createDamage()
    // Byte by byte, because a match may overlap its own output.
    for (const end = out + length; out < end; out += 1) target[out] = target[out - distance]!
  }
  throw createDamage()
}

const createDamage = () => new RangeError('the LZ4 block is damaged')

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
      if (frame !== undefined || rest.length > 0) throw createFrameError('it is cut off')
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
  if (bytes.readUInt32LE(0) !== magic) throw createFrameError('it is no LZ4 frame')
  const flag = bytes[4]!
  const sizeClass = (bytes[5]! >> 4) & 7
  if (flag >> 6 !== 1 || sizeClass < 4 || flag & flags.hasDictionary)
    throw createFrameError('its header is of an unknown kind')
  const headerBytes = flag & flags.hasSize ? 15 : 7
  if (bytes.length < headerBytes) return undefined
  const plainBytesMax = 2 ** (8 + 2 * sizeClass)
  return { headerBytes, flag, plainBytesMax, history: new Uint8Array() }
}

/** The bytes of the next block with its size and checksum, or of the frame's end. */
function toBlockBytes({ flag, plainBytesMax }: Frame, bytes: Buffer): number | undefined {
  if (bytes.length < 4) return undefined
  const size = bytes.readUInt32LE(0) & 0x7fffffff
  if (size > plainBytesMax) throw createFrameError(`a block has ${size} bytes`)
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
    throw createFrameError(error instanceof Error ? error.message : String(error))
  }
}

const createFrameError = (reason: string) =>
  createQueryError('CANNOT_DECOMPRESS', `The body in LZ4 cannot be read: ${reason}`)
