import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Config } from '../config/config.ts'
import type { Log } from '../core/log.ts'
import { loadFurthestOffset } from '../delivery/cursors.ts'
import { createMarkerFiles } from '../ingest/dedup/marker-log.ts'
import { type Journal, openJournal } from '../journal/journal.ts'
import {
  replayDedupKeys,
  type ShipmentOptions,
  type Storage,
  shipJournal,
  toStateDir,
} from './storage.ts'

/**
 * Delivers orphaned journals: after a change of WORKERS, journals whose process no longer runs. One folder after the
 * other, beside the process's own work. A folder that cannot be delivered is left as it is.
 */
export function createOrphanDelivery(options: OrphanDeliveryOptions): OrphanDelivery {
  const closing = Promise.withResolvers<void>()
  let isClosing = false
  let running = Promise.resolve()
  const waiting = new Set(options.folders)
  const failed = new Set<string>()
  async function run(): Promise<void> {
    for (const folder of options.folders) {
      if (isClosing) return
      const isOver = await deliverFolder(options, folder, closing.promise).catch((error) => {
        failed.add(folder)
        options.log.error(
          { folder, error: String(error) },
          'cannot deliver an orphaned journal; it stays in its folder until the next start',
        )
        return true
      })
      if (isOver) waiting.delete(folder)
    }
  }
  const folders = () => ({
    waiting: [...waiting].filter(hasJournal),
    failed: [...failed].filter(hasJournal),
  })
  return {
    folders,
    undelivered: () => Object.values(folders()).flat(),
    start() {
      running = run()
      return running
    },
    async close() {
      isClosing = true
      closing.resolve()
      await running
    },
  }
}

export type OrphanDelivery = {
  /** The journals that are not delivered yet, and those that cannot be. */
  folders(): { waiting: string[]; failed: string[] }
  /** Both together. */
  undelivered(): string[]
  /** Resolves when every journal is delivered or has failed, or on `close`. Never rejects. */
  start(): Promise<void>
  /** Journals that are not delivered yet stay in their folders for the next start. */
  close(): Promise<void>
}

type OrphanDeliveryOptions = {
  folders: readonly string[]
  config: Config
  /** The process's own: it learns the dedup keys of the orphaned journals. */
  storage: Pick<Storage, 'table' | 'dedup'>
  log: Log
  now: () => number
  /** For tests. */
  createShipping?: ShipmentOptions['createShipping']
}

/** Resolves with false on `closing`. Dedup key files stay in the folder for 24 hours, because the next start must load them again. */
async function deliverFolder(
  options: OrphanDeliveryOptions,
  folder: string,
  closing: Promise<void>,
): Promise<boolean> {
  const { log } = options
  await loadDedupKeys(options, join(folder, 'markers'))
  if (!hasJournal(folder)) return true
  log.info({ folder }, 'delivering an orphaned journal')
  const isDelivered = await deliver(options, folder, closing)
  if (!isDelivered) return false
  for (const name of ['journal', 'state'])
    rmSync(join(folder, name), { recursive: true, force: true })
  log.info({ folder }, 'delivered and removed an orphaned journal')
  return true
}

/** A delivered one leaves its dedup key files. */
const hasJournal = (folder: string) => existsSync(join(folder, 'journal'))

async function loadDedupKeys(options: OrphanDeliveryOptions, folder: string): Promise<void> {
  if (!existsSync(folder)) return
  const { config, log, now, storage } = options
  const files = createMarkerFiles({ folder, bytesMax: config.DEDUP_BYTES_MAX, now, log })
  await files.load(storage.table)
  await files.close()
}

async function deliver(
  options: OrphanDeliveryOptions,
  folder: string,
  closing: Promise<void>,
): Promise<boolean> {
  const { config, log, now, storage } = options
  const journal = await openJournal({
    dir: join(folder, 'journal'),
    segmentBytes: config.JOURNAL_SEGMENT_BYTES,
    bytesMax: Number.MAX_SAFE_INTEGER, // Nothing is appended.
    durability: 'disk',
    now,
    log,
    onCommitted() {},
    endOffsetMin: loadFurthestOffset(toStateDir(folder)),
  })
  try {
    await replayDedupKeys(journal, storage.dedup, () => {})
    await storage.dedup.sync()
    return await ship({ ...options, journal, folder, closing })
  } finally {
    await journal.close()
  }
}

type Delivery = Pick<OrphanDeliveryOptions, 'config' | 'log' | 'createShipping'> & {
  journal: Journal
  folder: string
  closing: Promise<void>
}

/** Resolves with true when every sink has the whole journal, with false on `closing`. */
async function ship({ closing, ...options }: Delivery): Promise<boolean> {
  const { config, log, journal, folder, createShipping } = options
  const delivered = Promise.withResolvers<true>()
  const { shipping, started } = shipJournal({
    ...{ config, log, journal, folder, createShipping },
    onOffsets(offsets) {
      if (Math.min(...Object.values(offsets)) >= journal.endOffset) delivered.resolve(true)
    },
  })
  try {
    await started
    return await Promise.race([delivered.promise, closing.then(() => false)])
  } finally {
    await shipping.close()
  }
}
