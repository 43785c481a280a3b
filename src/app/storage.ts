import { join } from 'node:path'
import type { Config } from '../config/config.ts'
import type { Clock } from '../core/clock.ts'
import type { DedupKey } from '../core/event.ts'
import type { Log } from '../core/log.ts'
import type { StoredRecord } from '../core/record.ts'
import type { SinkOffsets } from '../core/sink.ts'
import { parseEnabledSinks } from '../delivery/create-sinks.ts'
import { loadFurthestOffset, loadOffsets } from '../delivery/cursors.ts'
import { createShipping, type Shipping } from '../delivery/shipping.ts'
import { createRecoveredCount, type Recovered } from '../delivery/sink-counters.ts'
import { checkSinks } from '../delivery/switched-off.ts'
import { createDedup, type Dedup } from '../ingest/dedup/dedup.ts'
import { createMarkerFiles, type MarkerFiles } from '../ingest/dedup/marker-log.ts'
import type { RedisDedupKeys } from '../ingest/dedup/redis-markers.ts'
import { createDedupTable, type DedupTable } from '../ingest/dedup/seen-table.ts'
import { type Journal, openJournal } from '../journal/journal.ts'
import type { Closer } from './closer.ts'

/**
 * Opens the journal, loads the dedup keys of the last 24 hours, and starts the shippers. The closer ships within its
 * time limit what it can; the rest stays in the journal.
 */
export async function openStorage(options: StorageOptions): Promise<Storage> {
  const { config, log, now, closer } = options
  const table = createDedupTable({ bytesMax: config.DEDUP_BYTES_MAX, now })
  const files = createFiles(options)
  const dedup = createDedup({ table, files, shared: options.shared })
  closer.add('dedup', () => dedup.close())
  // The journal is opened first, because the shippers need its id. Nothing is committed before they exist: only the
  // pipeline appends, and it is created afterwards.
  let shipping: Shipping | undefined
  const journal = await openJournal({
    dir: join(config.dataDir, 'journal'),
    segmentBytes: config.JOURNAL_SEGMENT_BYTES,
    bytesMax: config.JOURNAL_MAX_BYTES,
    durability: config.DURABILITY,
    now,
    startTimer: options.startCommit,
    log,
    onCommitted: (block) => shipping?.push(block),
    beforeUnlink: () => dedup.sync(),
    endOffsetMin: loadFurthestOffset(toStateDir(config.dataDir)),
  })
  closer.add('journal', () => journal.close())
  await files.load(table)
  const recovered = countRecovered(journal, config)
  await replayDedupKeys(journal, dedup, recovered.visit)
  const shipment = shipJournal({
    ...{ config, log, journal, folder: config.dataDir },
    createShipping: options.createShipping,
    // A segment is deleted once every sink has all of its records.
    onOffsets: (offsets) => void journal.release(Math.min(...Object.values(offsets))),
  })
  shipping = shipment.shipping
  closer.add('shippers', async (withinMs) => {
    await shipment.shipping.drain(withinMs)
    await shipment.shipping.close()
  })
  return { ...shipment, journal, dedup, table, dedupFiles: files, recovered: recovered.counts }
}

/** Everything that survives the process: the journal, the dedup keys beside it, and the shippers' cursors. */
export type Storage = Readonly<{
  journal: Journal
  dedup: Dedup
  shipping: Shipping
  /** Resolves once the shippers run; events are accepted before. Rejects when the shippers cannot run. */
  started: Promise<void>
  table: DedupTable
  dedupFiles: Pick<MarkerFiles, 'counts'>
  /** Events that the start found in the journal, for the counters of delivery. */
  recovered: Recovered
}>

export type StorageOptions = {
  config: Config
  log: Log
  now: Clock
  /** Times a group commit. */
  startCommit: (() => () => void) | undefined
  /** Dedup keys that all nodes share; undefined on a single node. */
  shared: RedisDedupKeys | undefined
  closer: Closer
  /** For tests. */
  createShipping?: typeof createShipping | undefined
}

/** A dedup key takes 12 bytes in a file and 8 in memory: the files hold as many keys as the table. */
const fileBytesPerTableByte = 1.5

function createFiles({ config, log, now }: StorageOptions) {
  return createMarkerFiles({
    folder: join(config.dataDir, 'markers'),
    bytesMax: Math.floor(config.DEDUP_BYTES_MAX * fileBytesPerTableByte),
    now,
    log,
  })
}

function countRecovered({ id }: Journal, config: Config) {
  const offsets = loadOffsets({ dir: toStateDir(config.dataDir), journalId: id })
  return createRecoveredCount(parseEnabledSinks(config), offsets)
}

/** About as many keys as one Redis script takes. */
const dedupKeysPerCall = 1000

/**
 * Adds the dedup keys of a journal to the dedup table, its files and Redis: a crash may have lost the newest ones there.
 * `visit` sees every record.
 */
export async function replayDedupKeys(
  journal: Pick<Journal, 'replay'>,
  dedup: Pick<Dedup, 'mark'>,
  visit: (record: StoredRecord) => void,
): Promise<void> {
  let dedupKeys: DedupKey[] = []
  let marking: Promise<void> | undefined
  const mark = () => {
    const chunk = dedupKeys
    dedupKeys = []
    // Without Redis `mark` is synchronous, and there is no promise to wait for.
    const marked = marking ? marking.then(() => dedup.mark(chunk)) : dedup.mark(chunk)
    if (marked) marking = marked
  }
  await journal.replay((record) => {
    visit(record)
    const { dedupKey, payloadKey } = record.head()
    if (dedupKey !== undefined) dedupKeys.push(dedupKey)
    if (payloadKey !== undefined) dedupKeys.push(payloadKey)
    if (dedupKeys.length >= dedupKeysPerCall) mark()
  })
  mark()
  await marking
}

/**
 * Delivers a journal to the configured sinks. Throws when a sink that is switched off lacks records; `started` rejects
 * when the shippers cannot run.
 */
export function shipJournal(options: ShipmentOptions): {
  shipping: Shipping
  started: Promise<void>
} {
  const { config, log, folder, journal, onOffsets } = options
  checkSinks({ dir: toStateDir(folder), journal, config, log })
  let offsets: SinkOffsets = {}
  let isStarted = false
  const shipping = (options.createShipping ?? createShipping)({
    journalDir: join(folder, 'journal'),
    journalId: journal.id,
    stateDir: toStateDir(folder),
    endOffset: journal.endOffset,
    config,
    log,
    onAdvanced(sink, offset) {
      offsets[sink] = offset
      // Ignore advances until all cursors are loaded; otherwise min() would cover one sink only.
      if (isStarted) onOffsets(offsets)
    },
  })
  const started = shipping.start().then((cursors) => {
    offsets = { ...cursors, ...offsets }
    isStarted = true
    onOffsets(offsets)
  })
  // A caller that fails before it awaits `started` must not cause an unhandled rejection as well.
  started.catch(() => {})
  return { shipping, started }
}

export type ShipmentOptions = {
  config: Config
  log: Log
  /** Holds the journal's folder and the shippers' cursors. */
  folder: string
  journal: Pick<Journal, 'id' | 'firstOffset' | 'endOffset'>
  /** Every sink has all records below its offset. Called when the shippers have started, and at each advance. */
  onOffsets(offsets: Readonly<SinkOffsets>): void
  createShipping?: typeof createShipping | undefined
}

export const toStateDir = (folder: string) => join(folder, 'state')
