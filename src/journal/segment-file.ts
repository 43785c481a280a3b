import { join } from 'node:path'
import { type FileSystem, isCode, type OpenFile, writeAll } from './file-system.ts'
import { toSegmentName } from './segments.ts'

/** A segment file full of zeros, durable with its name: writing into it changes no metadata. */
export type SpareSegment = { number: number; path: string; file: OpenFile; bytes: number }

/** Below this a segment would be mostly header and directory work. */
export const segmentBytesMin = 256 * 1024
/**
 * One write of zeros. Each is synced, so that a commit never waits behind a whole segment of them;
 * and they are few, since under load each takes a turn of the event loop.
 */
const fillBytes = 4 * 1024 * 1024
const zeros = Buffer.alloc(fillBytes)

/** Leaves nothing behind when it fails. */
export async function createSegmentFile(
  fileSystem: FileSystem,
  { dir, number, bytes }: { dir: string; number: number; bytes: number },
): Promise<SpareSegment> {
  const path = join(dir, toSegmentName(number))
  const file = await fileSystem.open(path, 'create')
  try {
    for (let position = 0; position < bytes; position += fillBytes) {
      const fill = zeros.subarray(0, Math.min(fillBytes, bytes - position))
      await writeAll(file.writeThrough, fill, position)
    }
    await file.sync()
    await fileSystem.syncFolder(dir)
    return { number, path, file, bytes }
  } catch (error) {
    await file.close().catch(() => {})
    await removeSegmentFile(fileSystem, path).catch(() => {})
    throw error
  }
}

export async function removeSegmentFile(fileSystem: FileSystem, path: string): Promise<void> {
  try {
    await fileSystem.unlink(path)
  } catch (error) {
    if (!isCode(error, 'ENOENT')) throw error
  }
}

/**
 * How long the next segment may be: smaller than wanted on a disk or under a budget that is nearly
 * spent. At least half of the free disk stays free: whoever drains the journal may need it. Throws
 * ENOSPC where not even `bytesMin` fit.
 */
export async function toSegmentBytes(
  fileSystem: FileSystem,
  { dir, bytesWanted, bytesMin, bytesLeft }: SegmentSize & { dir: string },
): Promise<number> {
  const free = await fileSystem.freeBytes(dir)
  let bytes = Math.max(bytesMin, Math.min(bytesWanted, bytesLeft))
  while (bytes > free / 2 && bytes > bytesMin) bytes = Math.max(bytesMin, Math.floor(bytes / 4))
  if (bytes <= free) return bytes
  const message = `${free} bytes are free on the journal's disk`
  throw Object.assign(new Error(message), { code: 'ENOSPC' })
}

/** `bytesLeft` is what the journal's budget leaves. */
export type SegmentSize = { bytesWanted: number; bytesMin: number; bytesLeft: number }
