import type { StoredLine } from '../../core/record.ts'

/**
 * Big enough that a row costs no call of its own, small enough to copy without holding up the
 * thread.
 */
const chunkBytesMax = 256 * 1024

/** The lines as few chunks that each end with a line, copied once. */
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

/** The lines as one buffer. `breathe` is awaited before and in between. */
export async function toBuffer(
  lines: readonly StoredLine[],
  breathe: () => Promise<void>,
  allocate: (bytes: number) => Buffer = Buffer.allocUnsafeSlow,
): Promise<Buffer> {
  const whole = allocate(lines.reduce((bytes, { lineBytes }) => bytes + lineBytes, 0))
  let at = 0
  let sinceBreath = 0
  await breathe()
  for (const line of lines) {
    line.copyLine(whole, at)
    at += line.lineBytes
    sinceBreath += line.lineBytes
    if (sinceBreath < breathBytes) continue
    sinceBreath = 0
    await breathe()
  }
  return whole
}

const breathBytes = 4 * 1024 * 1024

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

/** A buffer that is new costs as much as filling it: the system clears its pages first. */
export type BufferPool = {
  take(bytes: number): Buffer
  /** Nobody uses what `take` gave any more. */
  giveBack(buffer: Buffer): void
}

/** Keeps `keptMax` buffers of `bytesMin` for the next who asks; what has no room in one of them comes and goes. */
export function createBufferPool(options: { bytesMin: number; keptMax: number }): BufferPool {
  const kept: ArrayBuffer[] = []
  return {
    take(bytes) {
      const at = kept.findIndex(({ byteLength }) => byteLength >= bytes)
      const room =
        at < 0 ? new ArrayBuffer(Math.max(bytes, options.bytesMin)) : kept.splice(at, 1)[0]!
      return Buffer.from(room, 0, bytes)
    },
    giveBack({ buffer }) {
      const isOfSize = buffer.byteLength === options.bytesMin
      if (isOfSize && kept.length < options.keptMax) kept.push(buffer as ArrayBuffer)
    },
  }
}
