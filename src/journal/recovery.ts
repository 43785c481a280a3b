import type { Log } from '../core/log.ts'
import type { DamageReporter } from './damage.ts'
import type { FileSystem } from './file-system.ts'
import {
  type FrameHeader,
  type FrameOrigin,
  frameHeaderBytes,
  isTorn,
  toFrameHeader,
  toSeed,
} from './frame.ts'
import { createScanner, type Frame, type Scanner } from './scanner.ts'
import { listSegments, type Segment, type UnusedSegment } from './segments.ts'

/** How much of an invalid last frame is read if its header is invalid too. */
const tailBytesMax = 1024 * 1024

/** The state of a journal's folder at start. */
export type RecoveredJournal = {
  segments: readonly Segment[]
  unused: readonly UnusedSegment[]
  /** Sequence of the last commit; 0 if there is none. */
  lastSequence: number
  /** The offset of the next record. */
  endOffset: number
  /**
   * The last commit. Nothing proves that it was synced: after a failed sync the page cache may show
   * bytes that are not on disk. So it is written again into the next segment.
   */
  unprovenFrame: Frame | undefined
}

type Context = {
  fileSystem: FileSystem
  dir: string
  journalId: string
  damage: DamageReporter
  log: Log
}

/**
 * Reads every header, and the last segment to its end. Earlier segments are verified when they are
 * read: the header of the next segment tells where they end. Throws if a segment belongs to another
 * journal or format.
 */
export async function recover(context: Context): Promise<RecoveredJournal> {
  const { fileSystem, dir, journalId } = context
  const { segments, unused } = await listSegments({ fileSystem, dir, seed: toSeed(journalId) })
  for (const segment of segments) await checkHeader(segment, context)
  const last = segments.at(-1)
  for (const { path, number, holds } of unused) {
    // Segments are created one after the other: if a later one exists, this one was complete.
    const isCut = holds === 'nothing' && number < (last?.number ?? 0)
    if (isCut || holds === 'garbage')
      await context.damage.report({ path, position: 0, what: 'the segment holds no commit' })
  }
  const end = last ? await scanToEnd(last, context) : emptyEnd
  return { segments, unused, ...end }
}

type End = Pick<RecoveredJournal, 'lastSequence' | 'endOffset' | 'unprovenFrame'>

const emptyEnd: End = { lastSequence: 0, endOffset: 0, unprovenFrame: undefined }

async function checkHeader(segment: Segment, { journalId, damage }: Context): Promise<void> {
  const { path, header, headerState } = segment
  if (headerState !== 'inferred' && header.journalId !== journalId)
    throw new Error(`${path} belongs to another journal, ${header.journalId}; move it away`)
  if (headerState !== 'valid')
    await damage.report({
      path,
      position: 0,
      what: `the segment header is damaged (${headerState})`,
    })
}

async function scanToEnd(segment: Segment, context: Context): Promise<End> {
  const { header, number, path } = segment
  const file = await context.fileSystem.open(path, 'read')
  try {
    const origin = { segment: number, seed: toSeed(context.journalId) }
    const scanner = createScanner({ file, origin, lastSequence: header.firstSequence - 1 })
    let end: End = {
      lastSequence: header.firstSequence - 1,
      endOffset: header.firstOffset,
      unprovenFrame: undefined,
    }
    for (;;) {
      end = await scanValid(scanner, end)
      const gap = await skipInvalid(scanner, { path, origin, context })
      if (!gap.isEnd) continue
      // If the disk has no space for a further segment, the last commit is not written again.
      await file.dataSync()
      return skipLostOffsets(end, gap.lost)
    }
  } finally {
    await file.close()
  }
}

/**
 * Behind the last valid frame there may be nothing, an unfinished write, or damage. Valid frames may
 * follow the damage.
 */
async function skipInvalid(
  scanner: Scanner,
  { path, origin, context }: { path: string; origin: FrameOrigin; context: Context },
): Promise<{ isEnd: boolean; lost?: FrameHeader | undefined }> {
  const { position } = scanner
  const invalid = toFrameHeader(await scanner.peekBytes(frameHeaderBytes), origin)
  const tail = await readTail(scanner, invalid)
  const isInside = await scanner.resync(Number.MAX_SAFE_INTEGER)
  if (!isInside && tail.length === 0) return { isEnd: true }
  if (!isInside && isTorn(tail, position, invalid)) {
    context.log.warn({ path, position }, 'dropped an unfinished commit, which was not acknowledged')
    return { isEnd: true }
  }
  await context.damage.report({ path, position, what: 'a commit is damaged' })
  return { isEnd: !isInside, lost: invalid }
}

async function scanValid(scanner: Scanner, end: End): Promise<End> {
  let unprovenFrame = end.unprovenFrame
  for (let frame = await scanner.peek(); frame; frame = await scanner.peek()) {
    unprovenFrame = frame
    scanner.advance()
  }
  if (!unprovenFrame) return end
  const { sequence, firstOffset, count } = unprovenFrame
  return { lastSequence: sequence, endOffset: firstOffset + count, unprovenFrame }
}

/** The invalid frame's bytes: as long as its header says, else up to the last non-zero byte. */
async function readTail(scanner: Scanner, header: FrameHeader | undefined): Promise<Buffer> {
  if (header) return scanner.peekBytes(frameHeaderBytes + header.payloadBytes)
  const bytes = await scanner.peekBytes(tailBytesMax)
  let end = bytes.length
  while (end > 0 && bytes[end - 1] === 0) end -= 1
  return bytes.subarray(0, end)
}

/** The damaged records may have been delivered already: their offsets are not used again. */
function skipLostOffsets(end: End, invalid: FrameHeader | undefined): End {
  if (!invalid) return end
  return { ...end, endOffset: Math.max(end.endOffset, invalid.firstOffset + invalid.count) }
}
