import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Config } from '../config/config.ts'
import type { DedupKey } from '../core/event.ts'
import type { Log } from '../core/log.ts'
import { loadFurthestOffset } from '../delivery/cursors.ts'
import { createMarkerFiles } from '../ingest/dedup/marker-log.ts'
import { type Journal, openJournal } from '../journal/journal.ts'
import { shipJournal, toStateDir } from './ship-journal.ts'
import type { Storage } from './storage.ts'

/** Journals of processes that no longer run: after a change of WORKERS somebody else has to deliver them. */
export type Adoption = {
  /** Resolves once every journal is delivered, or the adoption is closed. */
  done: Promise<void>
  /** What is not delivered by now stays in its folder for the next start. */
  close(): Promise<void>
}

export type AdoptionParts = {
  folders: readonly string[]
  config: Config
  /** This process's own: what the others had seen is marked here. */
  storage: Pick<Storage, 'seen' | 'dedup'>
  log: Log
  now: () => number
}

/** One folder after the other, beside the process's own work. A folder that cannot be opened is left as it is. */
export function adoptJournals(parts: AdoptionParts): Adoption {
  const closing = Promise.withResolvers<void>()
  let isClosing = false
  async function run(): Promise<void> {
    for (const folder of parts.folders) {
      if (isClosing) return
      await adopt(parts, folder, closing.promise).catch((error) =>
        parts.log.error(
          { folder, error: String(error) },
          'a journal left behind stays where it is',
        ),
      )
    }
  }
  const done = run()
  return {
    done,
    close: async () => {
      isClosing = true
      closing.resolve()
      await done
    },
  }
}

/** Its markers stay for the 24 hours of their life: the next start reads them again. */
async function adopt(parts: AdoptionParts, folder: string, closing: Promise<void>): Promise<void> {
  const { config, log, now, storage } = parts
  const dedupKeys = join(folder, 'markers')
  if (existsSync(dedupKeys)) {
    const files = createMarkerFiles({
      folder: dedupKeys,
      bytesMax: config.DEDUP_BYTES_MAX,
      now,
      log,
    })
    await files.load(storage.seen)
    await files.close()
  }
  if (!existsSync(join(folder, 'journal'))) return
  log.info({ folder }, 'delivering a journal left behind')
  const isDelivered = await deliver(parts, folder, closing)
  if (!isDelivered) return
  for (const name of ['journal', 'state'])
    rmSync(join(folder, name), { recursive: true, force: true })
  log.info({ folder }, 'a journal left behind is delivered')
}

async function deliver(
  { config, log, now, storage }: AdoptionParts,
  folder: string,
  closing: Promise<void>,
): Promise<boolean> {
  const journal = await openJournal({
    dir: join(folder, 'journal'),
    segmentBytes: config.JOURNAL_SEGMENT_BYTES,
    bytesMax: Number.MAX_SAFE_INTEGER, // Nothing is added to it.
    durability: 'disk',
    now,
    log,
    onCommitted() {},
    endOffsetMin: loadFurthestOffset(toStateDir(folder)),
  })
  try {
    await mark(journal, storage)
    return await ship({ config, log, journal, folder, closing })
  } finally {
    await journal.close()
  }
}

/** What was acknowledged last may be in nobody's markers yet. */
async function mark(journal: Journal, { dedup }: AdoptionParts['storage']): Promise<void> {
  const dedupKeys: DedupKey[] = []
  const flush = () => dedup.mark(dedupKeys.splice(0))
  await journal.replay((record) => {
    const { dedupKey } = record.head()
    if (dedupKey !== undefined) dedupKeys.push(dedupKey)
    if (dedupKeys.length === dedupKeysPerCall) void flush()
  })
  await flush()
  await dedup.sync()
}

/** As many as one script of Redis takes. */
const dedupKeysPerCall = 1000

type Delivery = {
  config: Config
  log: Log
  journal: Journal
  folder: string
  closing: Promise<void>
}

/** Whether every sink has all of it. */
async function ship({ closing, ...parts }: Delivery): Promise<boolean> {
  const delivered = Promise.withResolvers<true>()
  const { shipping, started } = shipJournal({
    ...parts,
    onOffsets(offsets) {
      if (Math.min(...Object.values(offsets)) >= parts.journal.endOffset) delivered.resolve(true)
    },
  })
  try {
    await started
    return await Promise.race([delivered.promise, closing.then(() => false)])
  } finally {
    await shipping.close()
  }
}
