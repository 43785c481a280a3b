import { randomUUID } from 'node:crypto'
import type { Log } from '../core/log.ts'
import type { CommittedBlock } from '../core/record.ts'
import { type Budget, createBudget } from './budget.ts'
import { Committer } from './committer.ts'
import { createDamageReporter, type DamageReporter } from './damage.ts'
import { type FileSystem, isNoSpace, type Lock, removeIfPresent } from './file-system.ts'
import { toSeed } from './frame.ts'
import { loadIdentity, storeIdentity } from './identity.ts'
import { type RecoveredJournal, recover } from './recovery.ts'
import {
  type AgeIndex,
  type Catalog,
  createAgeIndex,
  createCatalog,
  createRetention,
  type Retention,
} from './retention.ts'
import { SegmentAllocator } from './segment-allocator.ts'
import { listSegments } from './segments.ts'
import { Writer } from './writer.ts'

/** A segment takes at most this share of the budget, so that delivered ones can be removed. */
const segmentsMin = 8
const retryMs = 1000

export type JournalParts = {
  id: string
  seed: number
  dir: string
  bytesMax: number
  fileSystem: FileSystem
  lock: Lock
  log: Log
  catalog: Catalog
  allocator: SegmentAllocator
  writer: Writer
  committer: Committer
  budget: Budget
  retention: Retention
  age: AgeIndex
  damage: DamageReporter
}

export type JournalOptions = {
  dir: string
  segmentBytes: number
  bytesMax: number
  /** `memory` acknowledges before the write: a crash loses events. */
  durability: 'disk' | 'memory'
  now: () => number
  log: Log
  /** Called when a commit begins. The returned function is called when it ends, also on failure. */
  startTimer?: (() => () => void) | undefined
  /** Receives each commit in order. The callee owns the bytes and may transfer them. */
  onCommitted(block: CommittedBlock): void
  /** Awaited before segments are unlinked. Makes the dedup keys of their records durable. */
  beforeUnlink?: () => Promise<void>
  /**
   * No new record gets an offset below this: the furthest offset that a sink has passed or sent. If
   * commits were lost (`DURABILITY=memory`, a broken disk), their offsets must not be reused, because
   * the sinks would take the new records for delivered ones.
   */
  endOffsetMin?: number
  /** Pause between attempts to create a segment after a failure, ms. */
  retryMs?: number
  fileSystem?: FileSystem
}

/** Recovers the folder and creates the parts. Writes only a missing identity file. */
export async function createParts(
  options: JournalOptions,
  { fileSystem, lock }: { fileSystem: FileSystem; lock: Lock },
): Promise<JournalParts> {
  const { dir, bytesMax, log } = options
  const id = await loadOrCreateIdentity(fileSystem, options)
  const damage = createDamageReporter({ fileSystem, dir, log })
  const recovered = await recover({ fileSystem, dir, journalId: id, damage, log })
  await removeUnused(fileSystem, recovered)
  const { catalog, age } = createIndexes(recovered)
  const base = { ...options, fileSystem, id, catalog, recovered }
  const allocator = createAllocator(base)
  const writer = createWriter(base, allocator)
  const committer = createCommitter(base, { writer, age })
  const budget = createJournalBudget(bytesMax, { catalog, allocator, writer, committer })
  const { beforeUnlink = async () => {} } = options
  const onUnlinked = () => allocator.prepare()
  const retention = createRetention({ fileSystem, dir, catalog, log, beforeUnlink, onUnlinked })
  const parts = { catalog, allocator, writer, committer, budget, retention, age, damage }
  return { id, seed: toSeed(id), dir, bytesMax, fileSystem, lock, log, ...parts }
}

/**
 * Starts a new segment; segments of earlier runs are never written again. Without disk space the
 * journal stays full until there is some, and its records can be delivered meanwhile.
 */
export async function startWriting(parts: JournalParts): Promise<void> {
  const { committer, writer, retention, log } = parts
  try {
    await committer.betweenCommits(() => writer.startSegment(committer.endOffset))
  } catch (error) {
    if (!isNoSpace(error)) throw error
    log.error(
      { error: String(error) },
      'the disk is full: requests are refused until there is space',
    )
  }
  await retention.release(0)
}

type Base = JournalOptions & {
  fileSystem: FileSystem
  id: string
  catalog: Catalog
  recovered: RecoveredJournal
}

async function loadOrCreateIdentity(
  fileSystem: FileSystem,
  { dir, log }: { dir: string; log: Log },
): Promise<string> {
  const stored = await loadIdentity(fileSystem, dir)
  if (stored) return stored
  const { segments } = await listSegments({ fileSystem, dir, seed: 0 })
  const known = segments.find(({ headerState }) => headerState !== 'inferred')?.header.journalId
  if (known)
    log.warn({ id: known }, 'restored the missing identity of the journal from its segments')
  const id = known ?? randomUUID()
  await storeIdentity(fileSystem, dir, id)
  return id
}

async function removeUnused(fileSystem: FileSystem, { unused }: RecoveredJournal): Promise<void> {
  for (const { path } of unused) await removeIfPresent(fileSystem, path)
}

function createIndexes({ segments }: RecoveredJournal): { catalog: Catalog; age: AgeIndex } {
  const catalog = createCatalog()
  const age = createAgeIndex()
  for (const { number, path, bytes, header } of segments) {
    const { firstOffset, createdMs } = header
    catalog.add({ number, path, bytes, firstOffset, isDurable: true })
    if (createdMs > 0) age.note(firstOffset, createdMs)
  }
  return { catalog, age }
}

function createAllocator(base: Base): SegmentAllocator {
  const { fileSystem, dir, segmentBytes, bytesMax, catalog, recovered, log } = base
  const files = [...recovered.segments, ...recovered.unused]
  return new SegmentAllocator({
    fileSystem,
    dir,
    nextNumber: Math.max(0, ...files.map(({ number }) => number)) + 1,
    segmentBytes: Math.min(segmentBytes, Math.floor(bytesMax / segmentsMin)),
    bytesLeft: () => bytesMax - catalog.bytes,
    retryMs: base.retryMs ?? retryMs,
    log,
  })
}

function createWriter(base: Base, allocator: SegmentAllocator): Writer {
  const { id, catalog, recovered, durability, now, log } = base
  const { lastSequence, unprovenFrame } = recovered
  const isSynced = durability === 'disk'
  return new Writer({
    journalId: id,
    catalog,
    allocator,
    lastSequence,
    unprovenFrame,
    isSynced,
    now,
    log,
  })
}

function createCommitter(
  base: Base,
  { writer, age }: { writer: Writer; age: AgeIndex },
): Committer {
  const { durability, recovered, endOffsetMin = 0, now, startTimer, log, onCommitted } = base
  return new Committer({
    writer,
    durability,
    endOffset: Math.max(recovered.endOffset, endOffsetMin),
    now,
    startTimer,
    log,
    onCommitted(block, receivedMs) {
      age.note(block.firstOffset, receivedMs)
      onCommitted(block)
    },
  })
}

function createJournalBudget(
  bytesMax: number,
  {
    catalog,
    allocator,
    writer,
    committer,
  }: Pick<JournalParts, 'catalog' | 'allocator' | 'writer' | 'committer'>,
): Budget {
  return createBudget({
    bytesMax,
    usage: {
      fileBytes: () => catalog.bytes + allocator.spareBytes,
      spaceBytes: () => writer.spaceBytes + allocator.spareBytes,
      pendingBytes: () => committer.pendingBytes,
      isDiskFull: () => allocator.fault !== undefined && isNoSpace(allocator.fault),
    },
  })
}
