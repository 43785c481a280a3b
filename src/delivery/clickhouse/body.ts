import type { StoredLine } from '../../core/record.ts'

/**
 * Large enough to make the calls per row negligible, small enough to copy without blocking the
 * thread.
 */
const chunkBytesMax = 256 * 1024

/** The lines as few chunks, each with whole lines. Each line is copied once. */
export function* toChunks(
  lines: readonly StoredLine[],
  { bytesMax, allocate }: ChunkOptions = {
    bytesMax: chunkBytesMax,
    allocate: Buffer.allocUnsafeSlow,
  },
): Generator<Buffer> {
  for (let from = 0; from < lines.length; ) {
    let bytes = lines[from]!.lineBytes
    let to = from + 1
    while (to < lines.length && bytes + lines[to]!.lineBytes <= bytesMax) {
      bytes += lines[to]!.lineBytes
      to += 1
    }
    const chunk = allocate(bytes)
    copyLines(lines, { from, to }, chunk)
    yield chunk
    from = to
  }
}

type ChunkOptions = { bytesMax: number; allocate(bytes: number): Buffer }

function copyLines(
  lines: readonly StoredLine[],
  { from, to }: { from: number; to: number },
  into: Buffer,
): void {
  let at = 0
  for (let index = from; index < to; index += 1) {
    const line = lines[index]!
    line.copyLine(into, at)
    at += line.lineBytes
  }
}

/**
 * Reuses buffers: allocating a new one costs as much as filling it, because the kernel clears its
 * pages.
 */
export type BufferPool = {
  take(bytes: number): Buffer
  /** Returns a buffer that `take` gave and that is no longer used. */
  release(buffer: Buffer): void
}

/**
 * Keeps up to `keptMax` buffers of `bytesMin`. Larger buffers are allocated and freed as needed.
 */
export function createBufferPool(options: { bytesMin: number; keptMax: number }): BufferPool {
  const kept: ArrayBuffer[] = []
  return {
    take(bytes) {
      const at = kept.findIndex(({ byteLength }) => byteLength >= bytes)
      const memory =
        at < 0 ? new ArrayBuffer(Math.max(bytes, options.bytesMin)) : kept.splice(at, 1)[0]!
      return Buffer.from(memory, 0, bytes)
    },
    release({ buffer }) {
      const isOfSize = buffer.byteLength === options.bytesMin
      if (isOfSize && kept.length < options.keptMax) kept.push(buffer as ArrayBuffer)
    },
  }
}
