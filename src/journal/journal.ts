import { join } from 'node:path'
import { IngestError } from '../core/errors.ts'
import type { JournalRecord, StoredRecord } from '../core/record.ts'
import type { Reservation } from './budget.ts'
import type { CommitterStats } from './committer.ts'
import { diskFileSystem } from './file-system.ts'
import { createParts, type JournalOptions, type JournalParts, startWriting } from './parts.ts'
import { createReader } from './reader.ts'

export type Journal = {
  /** The journal's uuid, made with its folder. */
  readonly id: string
  /**
   * Committed records are those from `firstOffset` to before `endOffset`; there may be gaps
   * between.
   */
  readonly firstOffset: number
  readonly endOffset: number
  /** Visits every record left on disk, in order. Yields to the event loop between pages. */
  replay(visit: (record: StoredRecord) => void): Promise<void>
  /** Promises room for `bytes` of records. Throws `journal_full` with `retryAfterSeconds`. */
  reserve(bytes: number): Reservation
  /**
   * Encodes at once; resolves when all of `records` are durable (under `DURABILITY=memory`: handed
   * on). Rejects with `journal_failed` or `journal_full`: then none of them is, nor will be.
   */
  append(records: readonly JournalRecord[]): Promise<void>
  /**
   * Every record below `offset` is delivered by every sink: whole segments below it go. Never
   * rejects.
   */
  release(offset: number): Promise<void>
  stats(): JournalStats
  /** Waits for what is under way. */
  close(): Promise<void>
}

export type JournalStats = CommitterStats & {
  /** What the journal's files take on disk, room prepared ahead included. */
  bytes: number
  bytesMax: number
  segments: number
  /**
   * When the oldest record left to deliver was received, roughly; undefined where all are
   * delivered.
   */
  oldestMs: number | undefined
  /** Whether a small request would be refused for lack of room now. */
  isFull: boolean
  /** The last commit failed, and no segment can be made for the next: the disk fails. */
  isFailing: boolean
  /** Places where damage was found since the start. */
  damages: number
}

/**
 * Opens the journal of `dir`, making it where there is none. Throws when another one holds the
 * folder, when the folder is of another journal or format, or when the disk fails; a full disk
 * opens, and refuses records until it has room.
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

/** One page of a replay: small enough that requests hardly notice it. */
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
    // A sink ahead of the journal must not release what is yet to come.
    release: (offset) => release(parts, Math.min(offset, committer.endOffset)),
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
  // All is delivered, yet the open segment alone fills the budget: only a new one lets go of it.
  if (offset < committer.endOffset || !budget.isFull || !writer.hasFrames) return
  try {
    await committer.betweenCommits(() => writer.startSegment(committer.endOffset))
    await retention.release(offset)
  } catch (error) {
    log.warn({ error: String(error) }, 'the open segment could not be changed for a new one')
  }
}

function toStats(parts: JournalParts): JournalStats {
  const { catalog, allocator, committer, budget, retention, age, damage, bytesMax } = parts
  const { releasedOffset } = retention
  const isDelivered = releasedOffset >= committer.endOffset
  const { stats } = committer
  return {
    ...stats,
    // The supply goes on trying, so this ends by itself where nobody is sent here any more.
    isFailing: stats.isFailing && allocator.fault !== undefined,
    bytes: catalog.bytes + allocator.spareBytes,
    bytesMax,
    segments: catalog.count,
    oldestMs: isDelivered ? undefined : age.oldestMs(releasedOffset),
    isFull: budget.isFull,
    damages: damage.count,
  }
}

/** Whatever fails, the folder is let go. */
async function close({ committer, writer, allocator, lock }: JournalParts): Promise<void> {
  try {
    await committer.close()
    await writer.close()
    await allocator.close()
  } finally {
    lock.release()
  }
}
