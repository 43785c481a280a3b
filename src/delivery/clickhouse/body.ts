import type { StoredLine } from '../../core/record.ts'

/**
 * Large enough to make the calls per row negligible, small enough to copy without blocking the
 * thread.
 */
const chunkBytesMax = 256 * 1024

/** The lines as few chunks, each with whole lines. Each line is copied once. */
export function* toChunks(lines: readonly StoredLine[]): Generator<Buffer> {
  for (let from = 0; from < lines.length; ) {
    let bytes = lines[from]!.lineBytes
    let to = from + 1
    while (to < lines.length && bytes + lines[to]!.lineBytes <= chunkBytesMax) {
      bytes += lines[to]!.lineBytes
      to += 1
    }
    const chunk = Buffer.allocUnsafeSlow(bytes)
    copyLines(lines, { from, to }, chunk)
    yield chunk
    from = to
  }
}

/** The lines as one buffer. Awaits `yieldToLoop` at the start and after every `yieldBytes`. */
export async function toBuffer(
  lines: readonly StoredLine[],
  yieldToLoop: () => Promise<void>,
  allocate: (bytes: number) => Buffer = Buffer.allocUnsafeSlow,
): Promise<Buffer> {
  const whole = allocate(lines.reduce((bytes, { lineBytes }) => bytes + lineBytes, 0))
  let at = 0
  let sinceYield = 0
  await yieldToLoop()
  for (const line of lines) {
    line.copyLine(whole, at)
    at += line.lineBytes
    sinceYield += line.lineBytes
    if (sinceYield < yieldBytes) continue
    sinceYield = 0
    await yieldToLoop()
  }
  return whole
}

const yieldBytes = 4 * 1024 * 1024

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
