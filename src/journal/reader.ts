import type { Log } from '../core/log.ts'
import type { StoredRecord } from '../core/record.ts'
import { createDamageReporter } from './damage.ts'
import { diskFileSystem, type FileSystem } from './file-system.ts'
import { toSeed } from './frame.ts'
import { FrameReader, type FrameReaderOptions } from './frame-reader.ts'
import { loadIdentity } from './identity.ts'
import { createRecordCursor, type RecordCursor, type Take, takeRecords } from './record-codec.ts'

/** Bounds of one read, in bytes of lines and in records. At least one record is read. */
export type ReadLimits = { bytesMax: number; recordsMax: number }

/**
 * Reads committed records from the segment files, in any thread. For one consumer that reads
 * forward: it remembers its position. Memory: one read buffer (1 MiB), or one commit if that is
 * larger.
 */
export type Reader = {
  /**
   * Records from `fromOffset` to below `endOffset`, where the journal's commits end. Offsets have gaps
   * where segments were removed or where damage was reported and skipped. Empty if there are none
   * yet.
   */
  read(fromOffset: number, limits: ReadLimits & { endOffset: number }): Promise<StoredRecord[]>
  close(): Promise<void>
}

/** Rejects if `dir` holds no journal. */
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

  /** A cursor at the next record, or undefined if its frame is not written yet. */
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
    nextOffset = -1 // If this fails there is no position to continue from.
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
