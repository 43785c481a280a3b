import { refusal } from '../chdb/exceptions.ts'
import type { Encoding } from './request.ts'

/** A request's body in pieces, decompressed. `next` is undefined at its end, and rejects when it was cut off. */
export type Body = {
  next(): Promise<Uint8Array | undefined>
  /** Everything up to its end. Rejects with QueryError beyond `bytesMax`. */
  rest(bytesMax: number): Promise<Uint8Array>
  /** What comes first, `bytes` of it or all there is. Is not lost: `next` and `rest` begin with it. */
  peek(bytes: number): Promise<Uint8Array>
}

export function openBody(request: Request): Body {
  const reader = request.body === null ? undefined : toStream(request.body, request).getReader()
  let ahead: Uint8Array | undefined

  async function next(): Promise<Uint8Array | undefined> {
    if (ahead !== undefined) {
      const piece = ahead
      ahead = undefined
      return piece
    }
    try {
      return (await reader?.read())?.value
    } catch (error) {
      throw refusal('BAD_ARGUMENTS', `The body cannot be read: ${toSentence(error)}`)
    }
  }

  async function gather(isEnough: (bytes: number) => boolean): Promise<Uint8Array> {
    const pieces: Uint8Array[] = []
    let bytes = 0
    while (!isEnough(bytes)) {
      const piece = await next()
      if (piece === undefined) break
      pieces.push(piece)
      bytes += piece.length
    }
    return Buffer.concat(pieces)
  }

  async function rest(bytesMax: number): Promise<Uint8Array> {
    const all = await gather((bytes) => bytes > bytesMax)
    if (all.length <= bytesMax) return all
    void reader?.cancel().catch(() => {})
    throw refusal('QUERY_IS_TOO_LARGE', `The query is larger than ${bytesMax} bytes`)
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
  if (!(encoding in codecs))
    throw refusal('NOT_IMPLEMENTED', `Content-Encoding ${encoding} is unknown here`)
  const unpacking = new DecompressionStream(codecs[encoding as Encoding])
  return body.pipeThrough(unpacking as unknown as ReadableWritablePair<Uint8Array, Uint8Array>)
}

const toSentence = (error: unknown) => (error instanceof Error ? error.message : String(error))

/** HTTP's names of the encodings, and those of the streams. */
export const codecs: Readonly<Record<Encoding, Bun.CompressionFormat>> = {
  gzip: 'gzip',
  deflate: 'deflate',
  br: 'brotli',
  zstd: 'zstd',
}
