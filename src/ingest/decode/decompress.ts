import type { Transform } from 'node:stream'
import zlib, { type BrotliOptions, type ZlibOptions, type ZstdOptions } from 'node:zlib'
import { IngestError } from '../../core/errors.ts'

export type Codec = 'gzip' | 'deflate' | 'br' | 'zstd'

export type Bounds = {
  bytesMax: number
  /** Called with every piece of output that is kept, in bytes. */
  grow(bytes: number): void
}

/**
 * Decompresses within `bytesMax`, bounded while it runs. Small bodies are opened here and now, in
 * microseconds; large ones once the answer is called, on zlib's own threads, so that 20 MB stall nobody else.
 * Throws or rejects with invalid_encoding, body_too_large and what `grow` throws.
 */
export function decompress(
  codec: Codec,
  bytes: Uint8Array,
  bounds: Bounds,
): Uint8Array | (() => Promise<Uint8Array>) {
  const opener = codec === 'deflate' ? toInflate(bytes) : openers[codec]
  const chunkSize = codec === 'gzip' ? toToldBytes(bytes) + 1 : plainChunkSize
  const limits = { chunkSize, bytesMax: bounds.bytesMax }
  const opened = bytes.length > inputBytesNow ? undefined : openNow(opener, bytes, limits)
  if (opened === undefined) return () => drain(opener.createStream(streamOptions), bytes, bounds)
  bounds.grow(opened.length)
  return opened
}

/** The codecs of Content-Encoding that must be named to be known; gzip is told by its magic bytes. */
export function toCodec(contentEncoding: string | null): Codec | undefined {
  const name = contentEncoding?.trim().toLowerCase()
  return name === 'deflate' || name === 'br' || name === 'zstd' ? name : undefined
}

export function isGzip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b && bytes[2] === 0x08
}

type Options = ZlibOptions & BrotliOptions & ZstdOptions
type Opener = {
  open(bytes: Uint8Array, options: Options): Uint8Array
  createStream(options: Options): Transform
}

/** A millisecond or so on the HTTP thread, and less than what a hop to another thread and back costs. */
const inputBytesNow = 64 * 1024
const outputBytesNow = 1024 * 1024
/** One chunk holds most batches whole. */
const plainChunkSize = 64 * 1024
const streamOptions = { chunkSize: 256 * 1024 }

const openers: Record<Exclude<Codec, 'deflate'>, Opener> = {
  gzip: { open: zlib.gunzipSync, createStream: zlib.createGunzip },
  br: { open: zlib.brotliDecompressSync, createStream: zlib.createBrotliDecompress },
  zstd: { open: zlib.zstdDecompressSync, createStream: zlib.createZstdDecompress },
}
const inflate: Opener = { open: zlib.inflateSync, createStream: zlib.createInflate }
const inflateRaw: Opener = { open: zlib.inflateRawSync, createStream: zlib.createInflateRaw }

/** `deflate` means zlib's format, yet some clients send it bare: the first two bytes tell. */
function toInflate([first = 0, second = 0]: Uint8Array): Opener {
  return first % 16 === 8 && (first * 256 + second) % 31 === 0 ? inflate : inflateRaw
}

/** Deflate packs no better. */
const bytesPerByteMax = 1032
const toldBytesMin = 1023

/**
 * How long gzip says the output is, of its last member, as far as that can be true. In a chunk one byte longer a small
 * body takes three fifths of the time that it takes in 64 KiB, and leaves nothing over; one that is too short is followed
 * by others.
 */
function toToldBytes(bytes: Uint8Array): number {
  const [a = 0, b = 0, c = 0, d = 0] = bytes.subarray(-4)
  const told = a + b * 2 ** 8 + c * 2 ** 16 + d * 2 ** 24
  return Math.max(toldBytesMin, Math.min(told, bytes.length * bytesPerByteMax, outputBytesNow))
}

type Limits = { chunkSize: number; bytesMax: number }

/** Undefined where the output is too large to be made here, yet may be within the limit. */
function openNow(
  { open }: Opener,
  bytes: Uint8Array,
  { chunkSize, bytesMax }: Limits,
): Uint8Array | undefined {
  try {
    return open(bytes, { chunkSize, maxOutputLength: Math.min(bytesMax, outputBytesNow) })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_BUFFER_TOO_LARGE') throw toInvalid(error)
    if (bytesMax <= outputBytesNow) throw tooLarge(bytesMax)
    return undefined
  }
}

/** Leaving the loop destroys the stream, and with it the work that is left. */
async function drain(
  stream: Transform,
  bytes: Uint8Array,
  { bytesMax, grow }: Bounds,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let total = 0
  stream.end(bytes)
  try {
    for await (const chunk of stream) {
      total += chunk.length
      if (total > bytesMax) throw tooLarge(bytesMax)
      grow(chunk.length)
      chunks.push(chunk)
    }
  } catch (error) {
    throw error instanceof IngestError ? error : toInvalid(error)
  }
  return Buffer.concat(chunks, total)
}

const tooLarge = (bytesMax: number) =>
  new IngestError('body_too_large', `the body exceeds ${bytesMax} bytes once decompressed`)

const toInvalid = (error: unknown) =>
  new IngestError('invalid_encoding', `the body cannot be decompressed: ${String(error)}`)
