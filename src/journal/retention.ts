import type { Log } from '../core/log.ts'
import { type FileSystem, removeIfPresent } from './file-system.ts'

/** Unlinks segments whose records are all delivered, one sweep at a time. */
export type Retention = {
  /**
   * Records below `offset` are no longer needed. Resolves when their segments are removed. After a
   * failure the next call tries again.
   */
  release(offset: number): Promise<void>
  readonly releasedOffset: number
}

export function createRetention({
  fileSystem,
  dir,
  catalog,
  log,
  beforeUnlink,
  onUnlinked,
}: {
  fileSystem: FileSystem
  dir: string
  catalog: Catalog
  log: Log
  beforeUnlink(): Promise<void>
  onUnlinked(): void
}): Retention {
  let releasedOffset = 0
  let sweeping: Promise<void> = Promise.resolve()

  async function sweep(): Promise<void> {
    const entries = [...new Set([...catalog.below(releasedOffset), ...catalog.withoutRecords()])]
    if (entries.length === 0) return
    await beforeUnlink()
    for (const entry of entries) {
      await removeIfPresent(fileSystem, entry.path)
      // One by one and synced: a crash must not leave a segment whose successor is removed.
      await fileSystem.syncFolder(dir)
      catalog.remove(entry)
      onUnlinked()
    }
  }

  return {
    get releasedOffset() {
      return releasedOffset
    },
    release(offset) {
      releasedOffset = Math.max(releasedOffset, offset)
      sweeping = sweeping.then(sweep).catch((error) => {
        log.error(
          { error: String(error) },
          'cannot remove delivered segments; the next release tries again',
        )
      })
      return sweeping
    },
  }
}

/** A segment file of a running journal. */
export type CatalogEntry = {
  number: number
  path: string
  /** Offset of its first record. It ends where the next segment begins. */
  firstOffset: number
  /** Length of the file, prepared zeros included. */
  bytes: number
  /** Its header is on disk, so a restart can read the journal's position from it. */
  isDurable: boolean
}

export type Catalog = {
  readonly bytes: number
  readonly count: number
  readonly firstOffset: number | undefined
  add(entry: CatalogEntry): void
  remove(entry: CatalogEntry): void
  /**
   * Segments without records from `offset` on, oldest first. Never the last durable one: a restart
   * reads the journal's position from its header.
   */
  below(offset: number): CatalogEntry[]
  /** Segments that hold no record and are followed by a durable one. */
  withoutRecords(): CatalogEntry[]
}

export function createCatalog(): Catalog {
  let entries: CatalogEntry[] = []
  const endOf = (index: number) => entries[index + 1]?.firstOffset ?? Number.POSITIVE_INFINITY
  const lastDurable = () => entries.findLastIndex((entry) => entry.isDurable)

  return {
    get bytes() {
      return entries.reduce((sum, entry) => sum + entry.bytes, 0)
    },
    get count() {
      return entries.length
    },
    get firstOffset() {
      return entries[0]?.firstOffset
    },
    add(entry) {
      entries.push(entry)
    },
    remove(entry) {
      entries = entries.filter((other) => other !== entry)
    },
    below(offset) {
      const droppable = entries.slice(0, Math.max(0, lastDurable()))
      const kept = droppable.findIndex((_, index) => endOf(index) > offset)
      return kept === -1 ? droppable : droppable.slice(0, kept)
    },
    withoutRecords() {
      const droppable = entries.slice(0, Math.max(0, lastDurable()))
      return droppable.filter((entry, index) => entry.firstOffset === endOf(index))
    },
  }
}

/** Distance between two samples at first: the age of a backlog is known to the second. */
const stepMsMin = 1000
/** At this number every other sample is dropped: the age of days is known to the minute. */
const samplesMax = 4096

type Sample = { offset: number; receivedMs: number }

/** Knows about when the oldest undelivered record was received, without reading it. */
export type AgeIndex = {
  note(offset: number, receivedMs: number): void
  /** When the record at `offset` was received, or up to one step earlier. */
  oldestMs(offset: number): number | undefined
}

export function createAgeIndex(): AgeIndex {
  let samples: Sample[] = []
  let stepMs = stepMsMin
  return {
    note(offset, receivedMs) {
      const last = samples.at(-1)
      if (last && receivedMs < last.receivedMs + stepMs) return
      samples.push({ offset, receivedMs })
      if (samples.length < samplesMax) return
      samples = samples.filter((_, index) => index % 2 === 0)
      stepMs *= 2
    },
    oldestMs(offset) {
      const later = samples.findIndex((sample) => sample.offset > offset)
      const index = later === -1 ? samples.length - 1 : Math.max(0, later - 1)
      samples = samples.slice(Math.max(0, index))
      if (samples.length < samplesMax / 4) stepMs = stepMsMin
      return samples[0]?.receivedMs
    },
  }
}
