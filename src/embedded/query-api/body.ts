import { createQueryError, QueryError } from '../chdb/exceptions.ts'
import type { Encoding } from './request.ts'
import { createBlockDecompression } from './wire/compressed-blocks.ts'
import { createFrameDecompression } from './wire/lz4.ts'

/** A request's body, decompressed, as a sequence of chunks. */
export type Body = {
  /** The next chunk, or undefined at the end. Rejects with QueryError if the body was cut off. */
  next(): Promise<Uint8Array | undefined>
  /** All that is left. Rejects with QueryError beyond `bytesMax`. */
  rest(bytesMax: number): Promise<Uint8Array>
  /** At least the first `bytes`, or the whole body. `next` and `rest` return them again. */
  peek(bytes: number): Promise<Uint8Array>
}

/** `isCompressed`: the body is in ClickHouse's compressed blocks. Throws QueryError. */
export function openBody(request: Request, isCompressed: boolean): Body {
  const stream = request.body === null ? undefined : toStream(request.body, request)
  const plain = isCompressed ? stream?.pipeThrough(createBlockDecompression()) : stream
  const reader = plain?.getReader()
  let ahead: Uint8Array | undefined

  async function next(): Promise<Uint8Array | undefined> {
    if (ahead !== undefined) {
      const chunk = ahead
      ahead = undefined
      return chunk
    }
    try {
      return (await reader?.read())?.value
    } catch (error) {
      if (error instanceof QueryError) throw error
      throw createQueryError('BAD_ARGUMENTS', `The body cannot be read: ${toSentence(error)}`)
    }
  }

  async function gather(isEnough: (bytes: number) => boolean): Promise<Uint8Array> {
    const chunks: Uint8Array[] = []
    let bytes = 0
    while (!isEnough(bytes)) {
      const chunk = await next()
      if (chunk === undefined) break
      chunks.push(chunk)
      bytes += chunk.length
    }
    return Buffer.concat(chunks)
  }

  async function rest(bytesMax: number): Promise<Uint8Array> {
    const all = await gather((bytes) => bytes > bytesMax)
    if (all.length <= bytesMax) return all
    void reader?.cancel().catch(() => {})
    throw createQueryError('QUERY_IS_TOO_LARGE', `The query is larger than ${bytesMax} bytes`)
  }

  async function peek(bytes: number): Promise<Uint8Array> {
    const start = await gather((gathered) => gathered >= bytes)
    ahead = start.length > 0 ? start : undefined
    return start
  }
  return { next, rest, peek }
}

function toStream(body: ReadableStream<Uint8Array>, request: Request): ReadableStream<Uint8Array> {
  const encoding = request.headers.get('content-encoding')?.toLowerCase()
  if (!encoding || encoding === 'identity') return body
  if (encoding === 'lz4') return body.pipeThrough(createFrameDecompression())
  if (!(encoding in codecs))
    throw createQueryError('NOT_IMPLEMENTED', `Content-Encoding ${encoding} is not supported`)
  const unpacking = new DecompressionStream(codecs[encoding as Encoding])
  return body.pipeThrough(unpacking as unknown as ReadableWritablePair<Uint8Array, Uint8Array>)
}

const toSentence = (error: unknown) => (error instanceof Error ? error.message : String(error))

/** Names of the encodings in HTTP, and their names for (de)compression streams. */
export const codecs: Readonly<Record<Encoding, Bun.CompressionFormat>> = {
  gzip: 'gzip',
  deflate: 'deflate',
  br: 'brotli',
  zstd: 'zstd',
}
