/**
 * Big enough that a row costs no call of its own, small enough to copy without holding up the
 * thread.
 */
const chunkBytesMax = 256 * 1024

/** The lines as few chunks that each end with a line, copied once. */
export function* toChunks(lines: readonly Uint8Array[]): Generator<Buffer> {
  for (let from = 0; from < lines.length; ) {
    let bytes = lines[from]!.length
    let to = from + 1
    while (to < lines.length && bytes + lines[to]!.length <= chunkBytesMax) {
      bytes += lines[to]!.length
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
  lines: readonly Uint8Array[],
  breathe: () => Promise<void>,
  allocate: (bytes: number) => Buffer = Buffer.allocUnsafeSlow,
): Promise<Buffer> {
  const whole = allocate(lines.reduce((bytes, line) => bytes + line.length, 0))
  let at = 0
  let sinceBreath = 0
  await breathe()
  for (const line of lines) {
    whole.set(line, at)
    at += line.length
    sinceBreath += line.length
    if (sinceBreath < breathBytes) continue
    sinceBreath = 0
    await breathe()
  }
  return whole
}

const breathBytes = 4 * 1024 * 1024
function copyLines(
  lines: readonly Uint8Array[],
  { from, to }: { from: number; to: number },
  into: Buffer,
): void {
  let at = 0
  for (let index = from; index < to; index += 1) {
    into.set(lines[index]!, at)
    at += lines[index]!.length
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
