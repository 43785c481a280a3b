import { createQueryError } from '../../chdb/exceptions.ts'
import { cityHash128 } from './city-hash.ts'
import { compressLz4, decompressLz4, toLz4BytesMax } from './lz4.ts'

/**
 * ClickHouse's own compression, `compress=1` and `decompress=1`: a sequence of blocks, each of a
 * checksum (16 bytes), a method (1), its size with these 9 bytes (4), its size decompressed (4), and
 * the data. The checksum is of everything after it.
 */
const checksumBytes = 16
const headerBytes = 9
const methods = { none: 0x02, lz4: 0x82, zstd: 0x90 } as const

/** ClickHouse's `max_compress_block_size`. */
const plainBytesMax = 1024 * 1024

/** Compresses with LZ4. An empty input becomes no block. */
export function toCompressedBlocks(plain: Uint8Array): Uint8Array<ArrayBuffer> {
  const blocks: Uint8Array[] = []
  for (let at = 0; at < plain.length; at += plainBytesMax)
    blocks.push(toBlock(plain.subarray(at, at + plainBytesMax)))
  return Buffer.concat(blocks)
}

function toBlock(plain: Uint8Array): Uint8Array {
  const start = checksumBytes + headerBytes
  const block = Buffer.allocUnsafe(start + toLz4BytesMax(plain.length))
  const end = compressLz4(plain, block, start)
  block[checksumBytes] = methods.lz4
  block.writeUInt32LE(end - checksumBytes, checksumBytes + 1)
  block.writeUInt32LE(plain.length, checksumBytes + 5)
  block.set(cityHash128(block.subarray(checksumBytes, end)), 0)
  return block.subarray(0, end)
}

/** Bounds the memory of one block. Clients send 1 MiB. */
const blockBytesMax = 64 * 1024 * 1024

/** Decompresses a body. Its stream fails with a QueryError for a damaged or too large block. */
export function createBlockDecompression(): TransformStream<Uint8Array, Uint8Array> {
  let chunks: Uint8Array[] = []
  let bytes = 0
  let bytesNeeded = checksumBytes + headerBytes
  return new TransformStream({
    transform(chunk, controller) {
      chunks.push(chunk)
      bytes += chunk.length
      if (bytes < bytesNeeded) return
      let rest: Buffer = Buffer.concat(chunks)
      while (rest.length >= bytesNeeded) {
        const size = toBlockBytes(rest)
        bytesNeeded = size ?? checksumBytes + headerBytes
        if (size === undefined || rest.length < size) break
        controller.enqueue(toPlain(rest.subarray(0, size)))
        rest = rest.subarray(size)
        bytesNeeded = checksumBytes + headerBytes
      }
      chunks = [rest]
      bytes = rest.length
    },
    flush() {
      if (bytes > 0) throw createDamage('its last block is cut off')
    },
  })
}

/** Undefined if the header has not arrived. */
function toBlockBytes(start: Buffer): number | undefined {
  if (start.length < checksumBytes + headerBytes) return undefined
  const packedBytes = start.readUInt32LE(checksumBytes + 1)
  const plainBytes = start.readUInt32LE(checksumBytes + 5)
  if (packedBytes < headerBytes) throw createDamage(`its size is ${packedBytes} bytes`)
  if (packedBytes > blockBytesMax || plainBytes > blockBytesMax)
    throw createDamage(`a block is larger than ${blockBytesMax} bytes`)
  return checksumBytes + packedBytes
}

function toPlain(block: Buffer): Uint8Array {
  const checked = block.subarray(checksumBytes)
  if (!block.subarray(0, checksumBytes).equals(cityHash128(checked)))
    throw createDamage('the checksum of a block is wrong')
  const data = checked.subarray(headerBytes)
  const plainBytes = checked.readUInt32LE(5)
  const plain = decompress(checked[0], data, plainBytes)
  if (plain.length === plainBytes) return plain
  throw createDamage(`a block has ${plain.length} instead of ${plainBytes} bytes`)
}

function decompress(method: number | undefined, data: Uint8Array, plainBytes: number): Uint8Array {
  if (method === methods.none) return data
  try {
    if (method === methods.zstd) return Bun.zstdDecompressSync(data)
    if (method === methods.lz4) {
      const plain = new Uint8Array(plainBytes)
      return plain.subarray(0, decompressLz4(data, plain, 0))
    }
  } catch (error) {
    throw createDamage(error instanceof Error ? error.message : String(error))
  }
  throw createDamage(`the compression method ${method} is unknown`)
}

const createDamage = (reason: string) =>
  createQueryError('CANNOT_DECOMPRESS', `The compressed body cannot be read: ${reason}`)
