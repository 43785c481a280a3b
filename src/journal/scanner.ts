import { type ReadableFile, readAll } from './file-system.ts'
import {
  type FrameHeader,
  type FrameOrigin,
  frameHeaderBytes,
  frameMagic,
  isPayloadValid,
  toFrameHeader,
} from './frame.ts'
import { segmentHeaderBytes } from './segment-header.ts'

/** The first read is small. Later reads double up to the maximum, or to one whole frame. */
const firstReadBytes = 64 * 1024
const readBytesMax = 1024 * 1024

export type Frame = FrameHeader & { payload: Buffer }

/**
 * Reads and verifies the frames of a segment in order. Memory: one read buffer, or one frame if that
 * is larger.
 */
export type Scanner = {
  /** Sequence of the last frame behind which the scanner moved. The next one has one more. */
  readonly lastSequence: number
  /** Byte position of the next frame. */
  readonly position: number
  /** The next frame, or undefined if it is not valid or not the next in sequence. */
  peek(): Promise<Frame | undefined>
  /** Moves behind the frame that `peek` returned. */
  advance(): void
  /** Drops the read buffer, because the file may have grown since. */
  discard(): void
  /**
   * Searches for the next valid frame with a later sequence, up to `sequenceMax`, and moves before
   * it. If there is none, returns false and does not move.
   */
  resync(sequenceMax: number): Promise<boolean>
  /** The next `bytes` bytes, fewer only at the end of the file. */
  peekBytes(bytes: number): Promise<Buffer>
}

export function createScanner({
  file,
  origin,
  lastSequence,
}: {
  file: ReadableFile
  origin: FrameOrigin
  lastSequence: number
}): Scanner {
  const view = createReadBuffer(file)
  let position = segmentHeaderBytes
  let current: Frame | undefined

  async function frameAt(at: number): Promise<Frame | undefined> {
    const header = toFrameHeader(await view.at(at, frameHeaderBytes), origin)
    if (!header) return undefined
    const whole = await view.at(at, frameHeaderBytes + header.payloadBytes)
    const payload = whole.subarray(frameHeaderBytes)
    return isPayloadValid(payload, header, origin.seed) ? { ...header, payload } : undefined
  }

  async function resync(sequenceMax: number): Promise<boolean> {
    let at = await findMagic(view, position)
    while (at !== undefined) {
      const frame = await frameAt(at)
      if (frame && frame.sequence > lastSequence && frame.sequence <= sequenceMax) {
        position = at
        lastSequence = frame.sequence - 1
        return true
      }
      at = await findMagic(view, at + 1)
    }
    return false
  }

  return {
    get lastSequence() {
      return lastSequence
    },
    get position() {
      return position
    },
    async peek() {
      const frame = current ?? (await frameAt(position))
      current = frame?.sequence === lastSequence + 1 ? frame : undefined
      return current
    },
    advance() {
      if (!current) throw new Error('advance without a frame: call peek first')
      lastSequence = current.sequence
      position += frameHeaderBytes + current.payloadBytes
      current = undefined
    },
    discard() {
      current = undefined
      view.discard()
    },
    resync,
    peekBytes: (bytes) => view.at(position, bytes),
  }
}

type ReadBuffer = {
  /** `bytes` bytes from `position`, fewer only at the end of the file. */
  at(position: number, bytes: number): Promise<Buffer>
  /** The bytes in the buffer from `position` on: at least as many as a magic number, unless the file ends. */
  from(position: number): Promise<Buffer>
  discard(): void
}

/**
 * The part of the file around where it is read. Never reused once read: records are views into it.
 */
function createReadBuffer(file: ReadableFile): ReadBuffer {
  let window = Buffer.alloc(0)
  let start = 0
  let readBytes = firstReadBytes

  async function fill(position: number, bytes: number): Promise<void> {
    const wanted = Buffer.allocUnsafeSlow(Math.max(bytes, readBytes))
    readBytes = Math.min(2 * readBytes, readBytesMax)
    const filled = await readAll(file, wanted, position)
    window = wanted.subarray(0, filled)
    start = position
  }

  async function at(position: number, bytes: number): Promise<Buffer> {
    const isInside = position >= start && position + bytes <= start + window.length
    if (!isInside) await fill(position, bytes)
    return window.subarray(position - start, position - start + bytes)
  }

  return {
    at,
    async from(position) {
      await at(position, frameMagic.length)
      return window.subarray(position - start)
    },
    discard() {
      window = Buffer.alloc(0)
    },
  }
}

async function findMagic(view: ReadBuffer, from: number): Promise<number | undefined> {
  let position = from
  for (;;) {
    const bytes = await view.from(position)
    if (bytes.length < frameMagic.length) return undefined
    const index = bytes.indexOf(frameMagic)
    if (index >= 0) return position + index
    // The magic may lie across the end of the buffer.
    position += bytes.length - frameMagic.length + 1
  }
}
