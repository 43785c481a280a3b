import type { Log } from '../core/log.ts'
import type { StoredRecord } from '../core/record.ts'
import { createDamageReporter } from './damage.ts'
import { diskFileSystem, type FileSystem } from './file-system.ts'
import { toSeed } from './frame.ts'
import { FrameReader, type FrameReaderOptions } from './frame-reader.ts'
import { loadIdentity } from './identity.ts'
import { createRecordCursor, type RecordCursor, type Take, takeRecords } from './record-codec.ts'

/**
 * Bounds of one read, in bytes of lines and in records. One record is always read, however large.
 */
export type ReadLimits = { bytesMax: number; recordsMax: number }

/**
 * Reads committed records from the segment files, in any thread. Made for one consumer that reads
 * forward: it remembers its place, and holds no more than one window of a file, or one commit where
 * that is larger.
 */
export type Reader = {
  /**
   * Records from `fromOffset` on, below `endOffset`, where the journal's commits end. Offsets may
   * have gaps: where segments were dropped, or where damage was reported and passed. An empty list
   * means: none yet.
   */
  read(fromOffset: number, limits: ReadLimits & { endOffset: number }): Promise<StoredRecord[]>
  close(): Promise<void>
}

/** Rejects where `dir` holds no journal. */
export async function openReader({
  dir,
  log,
  fileSystem = diskFileSystem,
}: {
  dir: string
  log: Log
  fileSystem?: FileSystem
}): Promise<Reader> {
  const journalId = await loadIdentity(fileSystem, dir)
  if (!journalId) throw new Error(`there is no journal in ${dir}`)
  const damage = createDamageReporter({ fileSystem, dir, log })
  return createReader({ dir, fileSystem, seed: toSeed(journalId), damage })
}

export function createReader(options: FrameReaderOptions): Reader {
  const frames = new FrameReader(options)
  let nextOffset = -1
  let cursor: RecordCursor | undefined

  /** Where the next record is, once its frame has been found. */
  async function cursorAt(offset: number, endOffset: number): Promise<RecordCursor | undefined> {
    while (!cursor?.nextLineBytes) {
      const frame = await frames.peek(endOffset)
      if (!frame) return undefined
      const { firstOffset, count, payload } = frame
      frames.advance()
      cursor = createRecordCursor({ firstOffset, count, bytes: payload }, offset)
    }
    return cursor
  }

  async function seek(offset: number): Promise<void> {
    cursor = undefined
    nextOffset = -1 // Until this has succeeded there is no place to go on from.
    await frames.seek(offset)
    nextOffset = offset
  }

  async function read(
    fromOffset: number,
    { bytesMax, recordsMax, endOffset }: ReadLimits & { endOffset: number },
  ): Promise<StoredRecord[]> {
    if (fromOffset >= endOffset) return []
    if (fromOffset !== nextOffset || !frames.hasPosition) await seek(fromOffset)
    nextOffset = -1
    const take: Take = { records: [], bytesLeft: bytesMax, recordsLeft: recordsMax }
    let source = await cursorAt(fromOffset, endOffset)
    while (source && takeRecords(source, take)) source = await cursorAt(fromOffset, endOffset)
    nextOffset = (take.records.at(-1)?.offset ?? fromOffset - 1) + 1
    return take.records
  }

  return { read, close: () => frames.close() }
}
