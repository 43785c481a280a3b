import { join } from 'node:path'
import type { Config } from '../config/config.ts'
import type { Clock } from '../core/clock.ts'
import type { DedupKey } from '../core/event.ts'
import type { Log } from '../core/log.ts'
import { parseEnabledSinks } from '../delivery/create-sinks.ts'
import { loadFurthestOffset, loadOffsets } from '../delivery/cursors.ts'
import type { Shipping } from '../delivery/shipping.ts'
import { createRecoveredCount, type Recovered } from '../delivery/sink-counters.ts'
import { createDedup, type Dedup } from '../ingest/dedup/dedup.ts'
import { createMarkerFiles, type MarkerFiles } from '../ingest/dedup/marker-log.ts'
import type { RedisDedupKeys } from '../ingest/dedup/redis-markers.ts'
import { createDedupTable, type DedupTable } from '../ingest/dedup/seen-table.ts'
import { type Journal, openJournal } from '../journal/journal.ts'
import { shipJournal, toStateDir } from './ship-journal.ts'

/** What outlives the process: the journal, the markers beside it, and the shippers that read it. */
export type Storage = {
  journal: Journal
  dedup: Dedup
  shipping: Shipping
  /** Events are taken before: they wait in the journal. Rejects, for the operator, where the shippers cannot run. */
  started: Promise<void>
  seen: DedupTable
  dedupKeys: Pick<MarkerFiles, 'counts'>
  /** What the start found in the journal, for the balance sheet. */
  recovered: Recovered
  /** Ships what it can within `withinMs`; the rest stays in the journal. */
  close(withinMs: number): Promise<void>
}

export type StorageParts = {
  config: Config
  log: Log
  now: Clock
  /** Times a group commit. */
  startCommit: (() => () => void) | undefined
  /** What other nodes have seen; undefined on a node of its own. */
  shared: RedisDedupKeys | undefined
}

/** Markers take twelve bytes in a file and eight in memory: what memory remembers, the files may hold. */
const fileBytesPerTableByte = 1.5

/** Opens everything on disk, brings back the markers of the last 24 hours, and starts the shippers. */
export async function openStorage(parts: StorageParts): Promise<Storage> {
  const { config, log, now } = parts
  const seen = createDedupTable({ bytesMax: config.DEDUP_BYTES_MAX, now })
  const files = createFiles(parts)
  const dedup = createDedup({ table: seen, files, shared: parts.shared })
  let shipping: Shipping | undefined
  const journal = await openJournal({
    dir: join(config.dataDir, 'journal'),
    segmentBytes: config.JOURNAL_SEGMENT_BYTES,
    bytesMax: config.JOURNAL_MAX_BYTES,
    durability: config.DURABILITY,
    now,
    startTimer: parts.startCommit,
    log,
    onCommitted: (block) => shipping?.push(block),
    beforeUnlink: () => dedup.sync(),
    endOffsetMin: loadFurthestOffset(toStateDir(config.dataDir)),
  })
  await files.load(seen)
  const recovered = await replay(journal, dedup, config)
  const shippers = startShipping(parts, journal)
  shipping = shippers.shipping
  return {
    journal,
    dedup,
    seen,
    dedupKeys: files,
    recovered,
    ...shippers,
    close: (withinMs) => close(journal, dedup, { ...shippers, withinMs }),
  }
}

function createFiles({ config, log, now }: StorageParts) {
  return createMarkerFiles({
    folder: join(config.dataDir, 'markers'),
    bytesMax: Math.floor(config.DEDUP_BYTES_MAX * fileBytesPerTableByte),
    now,
    log,
  })
}

/** As many as one script of Redis takes. */
const dedupKeysPerCall = 1000

/**
 * Markers of the newest commits may not have reached their files, or Redis, before the process ended: they are marked
 * again. What a sink has still to take is counted on the way.
 */
async function replay(journal: Journal, dedup: Dedup, config: Config): Promise<Recovered> {
  const offsets = loadOffsets({ dir: toStateDir(config.dataDir), journalId: journal.id })
  const recovered = createRecoveredCount(parseEnabledSinks(config), offsets)
  let dedupKeys: DedupKey[] = []
  let marking: Promise<void> | undefined
  const mark = () => {
    const chunk = dedupKeys
    dedupKeys = []
    // Without Redis this is done at once, and nothing waits.
    const marked = marking ? marking.then(() => dedup.mark(chunk)) : dedup.mark(chunk)
    if (marked) marking = marked
  }
  await journal.replay((record) => {
    recovered.visit(record)
    const { dedupKey } = record.head()
    if (dedupKey !== undefined) dedupKeys.push(dedupKey)
    if (dedupKeys.length === dedupKeysPerCall) mark()
  })
  mark()
  await marking
  return recovered.counts
}

/** Whole segments go once every sink has them. */
function startShipping({ config, log }: StorageParts, journal: Journal): Shippers {
  return shipJournal({
    ...{ config, log, journal, folder: config.dataDir },
    onOffsets: (offsets) => void journal.release(Math.min(...Object.values(offsets))),
  })
}

type Shippers = Pick<Storage, 'shipping' | 'started'>

type Closing = { shipping: Shipping; withinMs: number }

/** In the order of the data: nothing new comes in, what is there goes out, and only then the files are closed. */
async function close(
  journal: Journal,
  dedup: Dedup,
  { shipping, withinMs }: Closing,
): Promise<void> {
  await shipping.drain(withinMs)
  await shipping.close()
  await journal.close()
  await dedup.close()
}
