import { type OpenFile, readAll } from './file-system.ts'
import {
  type FrameHeader,
  type FrameOrigin,
  frameHeaderBytes,
  frameMagic,
  isPayloadValid,
  toFrameHeader,
} from './frame.ts'
import { segmentHeaderBytes } from './segment-header.ts'

/**
 * One read from the disk: the first is small, for a look; a frame larger than this is read whole.
 */
const firstReadBytes = 64 * 1024
const readBytesMax = 1024 * 1024

export type Frame = FrameHeader & { payload: Buffer }

/**
 * Reads a segment's frames in their order, checking each. Memory: one window, or one frame where
 * that is larger.
 */
export type Scanner = {
  /** Sequence of the frame passed last; that of the next one is one more. */
  readonly lastSequence: number
  /** Where the next frame is looked for. */
  readonly position: number
  /** The next frame, or undefined where no sound one stands, or its sequence is not the next. */
  peek(): Promise<Frame | undefined>
  /** Passes the frame that `peek` found. */
  advance(): void
  /** Drops what was read ahead: the file may have grown since. */
  discard(): void
  /**
   * Looks for the next sound frame of a later sequence, up to `sequenceMax`, and moves before it.
   * False, and no move, where there is none.
   */
  resync(sequenceMax: number): Promise<boolean>
  /** Up to `bytes` bytes from the position on. */
  peekBytes(bytes: number): Promise<Buffer>
}

export function createScanner({
  file,
  origin,
  lastSequence,
}: {
  file: OpenFile
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
      if (!current) throw new Error('no frame to pass')
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
  /** `bytes` bytes from `position`, fewer only where the file ends. */
  at(position: number, bytes: number): Promise<Buffer>
  /** Whatever is at hand from `position`, at least as long as a magic unless the file ends. */
  from(position: number): Promise<Buffer>
  discard(): void
}

/**
 * The part of the file around where it is read. Never reused once read: records are views into it.
 */
function createReadBuffer(file: OpenFile): ReadBuffer {
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
    // A magic may stand across the end of what was read.
    position += bytes.length - frameMagic.length + 1
  }
}
