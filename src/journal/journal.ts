import { join } from 'node:path'
import { IngestError } from '../core/errors.ts'
import type { JournalRecord, StoredRecord } from '../core/record.ts'
import type { Reservation } from './budget.ts'
import type { CommitterStats } from './committer.ts'
import { diskFileSystem } from './file-system.ts'
import { createParts, type JournalOptions, type JournalParts, startWriting } from './parts.ts'
import { createReader } from './reader.ts'

export type Journal = {
  /** The journal's uuid, created with its folder. */
  readonly id: string
  /** Committed records have offsets from `firstOffset` to below `endOffset`. There may be gaps. */
  readonly firstOffset: number
  readonly endOffset: number
  /** Visits every record on disk, in order. Yields to the event loop between pages. */
  replay(visit: (record: StoredRecord) => void): Promise<void>
  /** Reserves space for `bytes` of records. Throws `journal_full` with `retryAfterSeconds`. */
  reserve(bytes: number): Reservation
  /**
   * Encodes `records` synchronously. Resolves when all are durable (under `DURABILITY=memory`: when
   * they are passed on). Rejects with `journal_failed` or `journal_full`: then none is committed.
   */
  append(records: readonly JournalRecord[]): Promise<void>
  /**
   * Every sink has delivered all records below `offset`: removes the segments that hold no others.
   * Never rejects.
   */
  release(offset: number): Promise<void>
  /** Starts a new segment, so that `release` can remove the one that is open now. */
  rotate(): Promise<void>
  stats(): JournalStats
  /** Resolves when running commits and removals are done. */
  close(): Promise<void>
}

type JournalStats = CommitterStats & {
  /** Length of the journal's files, prepared space included. */
  bytes: number
  bytesMax: number
  segments: number
  /** About when the oldest undelivered record was received; undefined if there is none. */
  oldestMs: number | undefined
  /** A typical request would be refused now for lack of space. */
  isFull: boolean
  /** The last commit failed and no segment can be created for the next one: the disk fails. */
  isFailing: boolean
  /** The system's error code, such as ENOSPC, while no segment can be created. */
  faultCode: string | undefined
  /** Number of places where damage was found since the start. */
  damages: number
}

/**
 * Opens the journal in `dir`, or creates it. Throws if another process uses the folder, if a segment
 * belongs to another journal or format, or if the disk fails. On a full disk the journal opens and
 * refuses records until there is space.
 */
export async function openJournal(options: JournalOptions): Promise<Journal> {
  const { dir, fileSystem = diskFileSystem } = options
  await fileSystem.makeFolder(dir)
  const lock = fileSystem.lock(join(dir, 'lock'))
  if (!lock)
    throw new Error(`another server uses the journal in ${dir}: stop it, or set another DATA_DIR`)
  const parts = await createParts(options, { fileSystem, lock }).catch((error) => {
    lock.release()
    throw error
  })
  try {
    await startWriting(parts)
  } catch (error) {
    await close(parts)
    throw error
  }
  return toJournal(parts)
}

/** One page of a replay, small enough to delay requests little. */
const replayPage = { bytesMax: 1024 * 1024, recordsMax: 1024 }

function toJournal(parts: JournalParts): Journal {
  const { id, catalog, committer, budget } = parts
  let closing: Promise<void> | undefined
  return {
    id,
    get firstOffset() {
      return catalog.firstOffset ?? committer.endOffset
    },
    get endOffset() {
      return committer.endOffset
    },
    replay: (visit) => replay(parts, visit),
    reserve(bytes) {
      if (closing) throw new IngestError('shutting_down', 'The server is stopping.')
      return budget.reserve(bytes)
    },
    append: (records) => committer.append(records),
    // A sink may be ahead of the journal: never release records that are not written yet.
    release: (offset) => release(parts, Math.min(offset, committer.endOffset)),
    rotate: () => rotate(parts),
    stats: () => toStats(parts),
    close() {
      closing ??= close(parts)
      return closing
    },
  }
}

async function replay(
  { fileSystem, dir, seed, damage, committer }: JournalParts,
  visit: (record: StoredRecord) => void,
): Promise<void> {
  const { endOffset } = committer
  const reader = createReader({ fileSystem, dir, seed, damage })
  try {
    let page = await reader.read(0, { ...replayPage, endOffset })
    while (page.length > 0) {
      for (const record of page) visit(record)
      await new Promise((resolve) => setImmediate(resolve))
      page = await reader.read(page.at(-1)!.offset + 1, { ...replayPage, endOffset })
    }
  } finally {
    await reader.close()
  }
}

async function release(parts: JournalParts, offset: number): Promise<void> {
  const { retention, committer, writer, budget, log } = parts
  await retention.release(offset)
  // All is delivered and the open segment alone fills the budget: start a new one to remove it.
  if (offset < committer.endOffset || !budget.isFull || !writer.hasFrames) return
  try {
    await rotate(parts)
    await retention.release(offset)
  } catch (error) {
    log.warn(
      { error: String(error) },
      'cannot start a segment to free the delivered one; the next release tries again',
    )
  }
}

async function rotate({ committer, writer }: JournalParts): Promise<void> {
  if (!writer.hasFrames) return
  await committer.betweenCommits(() => writer.startSegment(committer.endOffset))
}

function toStats(parts: JournalParts): JournalStats {
  const { catalog, allocator, committer, budget, retention, age, damage, bytesMax } = parts
  const { releasedOffset } = retention
  const isDelivered = releasedOffset >= committer.endOffset
  const { stats } = committer
  return {
    ...stats,
    // The allocator keeps trying, so this ends without a request once the disk works again.
    isFailing: stats.isFailing && allocator.fault !== undefined,
    faultCode: (allocator.fault as NodeJS.ErrnoException | undefined)?.code,
    bytes: catalog.bytes + allocator.spareBytes,
    bytesMax,
    segments: catalog.count,
    oldestMs: isDelivered ? undefined : age.oldestMs(releasedOffset),
    isFull: budget.isFull,
    damages: damage.count,
  }
}

/** Releases the folder's lock even if something fails. */
async function close({ committer, writer, allocator, lock }: JournalParts): Promise<void> {
  try {
    await committer.close()
    await writer.close()
    await allocator.close()
  } finally {
    lock.release()
  }
}
