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

/** How much of a last, bad frame is looked at when its header does not tell its length. */
const tailBytesMax = 1024 * 1024

/** What a journal's folder holds when it is opened. */
export type RecoveredJournal = {
  segments: readonly Segment[]
  unused: readonly UnusedSegment[]
  /** The last commit, 0 where there is none. */
  lastSequence: number
  /** Where the next record goes. */
  endOffset: number
  /**
   * The last commit itself. Nothing proves that it was synced, and a page cache that outlived the
   * process may hold what the disk refused: it is written once more, into the next segment.
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
 * replayed: their successors tell where they end. Throws when a segment is of another journal or
 * another format.
 */
export async function recover(context: Context): Promise<RecoveredJournal> {
  const { fileSystem, dir, journalId } = context
  const { segments, unused } = await listSegments({ fileSystem, dir, seed: toSeed(journalId) })
  for (const segment of segments) await checkHeader(segment, context)
  const last = segments.at(-1)
  for (const { path, number, holds } of unused) {
    // Segments are made one after the other: one that is followed was whole once.
    const isCut = holds === 'nothing' && number < (last?.number ?? 0)
    if (isCut || holds === 'garbage')
      await context.damage.report({ path, position: 0, what: 'it holds no commit' })
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
    await damage.report({ path, position: 0, what: `its header has spoiled (${headerState})` })
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
      // Should the disk have no room for another segment, this must stand on its own.
      await file.dataSync()
      return skipLostOffsets(end, gap.lost)
    }
  } finally {
    await file.close()
  }
}

/**
 * What stands behind the sound frames: nothing, a write that never finished, or damage, with or
 * without more behind.
 */
async function skipInvalid(
  scanner: Scanner,
  { path, origin, context }: { path: string; origin: FrameOrigin; context: Context },
): Promise<{ isEnd: boolean; lost?: FrameHeader | undefined }> {
  const { position } = scanner
  const bad = toFrameHeader(await scanner.peekBytes(frameHeaderBytes), origin)
  const tail = await readTail(scanner, bad)
  const isInside = await scanner.resync(Number.MAX_SAFE_INTEGER)
  if (!isInside && tail.length === 0) return { isEnd: true }
  if (!isInside && isTorn(tail, position, bad)) {
    context.log.warn({ path, position }, 'dropped a commit that was never finished')
    return { isEnd: true }
  }
  await context.damage.report({ path, position, what: 'a commit has spoiled' })
  return { isEnd: !isInside, lost: bad }
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

/**
 * The bad frame's bytes as far as they are known: by its header, else up to the last one that is
 * not zero.
 */
async function readTail(scanner: Scanner, header: FrameHeader | undefined): Promise<Buffer> {
  if (header) return scanner.peekBytes(frameHeaderBytes + header.payloadBytes)
  const bytes = await scanner.peekBytes(tailBytesMax)
  let end = bytes.length
  while (end > 0 && bytes[end - 1] === 0) end -= 1
  return bytes.subarray(0, end)
}

/** Its offsets may have been delivered already: they are not given out again. */
function skipLostOffsets(end: End, bad: FrameHeader | undefined): End {
  if (!bad) return end
  return { ...end, endOffset: Math.max(end.endOffset, bad.firstOffset + bad.count) }
}
