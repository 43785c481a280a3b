import type { Log } from '../core/log.ts'
import { type FileSystem, removeIfPresent } from './file-system.ts'

/** Unlinks segments that nobody needs any more, one sweep at a time. */
export type Retention = {
  /**
   * Every record below `offset` may go. Resolves once what it frees is freed; a failure waits for
   * the next call.
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
      // One by one: a crash must not leave an older segment behind whose successor is gone.
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
        log.error({ error: String(error) }, 'delivered segments could not be removed')
      })
      return sweeping
    },
  }
}

/** The segment files of a running journal, oldest first, and the room they take. */
export type CatalogEntry = {
  number: number
  path: string
  /** Offset of its first record; it ends where the next one begins. */
  firstOffset: number
  /** Length of the file, zeros that wait for frames included. */
  bytes: number
  /** Whether its header is known to be on disk, so that it carries the journal's position on. */
  isDurable: boolean
}

export type Catalog = {
  readonly bytes: number
  readonly count: number
  readonly firstOffset: number | undefined
  add(entry: CatalogEntry): void
  remove(entry: CatalogEntry): void
  /**
   * Those that hold nothing from `offset` on, oldest first. Never the last durable one: without its
   * header a restart would not know where the journal stands.
   */
  below(offset: number): CatalogEntry[]
  /** Those that hold no record at all, though a durable one follows. */
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

/** Two marks closer than this are one: the age of a backlog need not be known better. */
const stepMsMin = 1000
/** With this many marks every other one goes: a backlog of days is known to the minute. */
const samplesMax = 4096

type Sample = { offset: number; receivedMs: number }

/** Knows roughly when the oldest record left was received, without reading it. */
export type AgeIndex = {
  note(offset: number, receivedMs: number): void
  /** Received time of the first record at or after `offset`, within a step and never too young. */
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
