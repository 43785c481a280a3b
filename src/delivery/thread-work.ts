import { createGarbageCollector, type GarbageCollector } from '../core/collect-garbage.ts'
import type { Log } from '../core/log.ts'
import type { CommittedBlock } from '../core/record.ts'
import type { Forgotten, Person, SinkOffsets } from '../core/sink.ts'
import { openReader, type Reader } from '../journal/reader.ts'
import {
  createRecentRecords,
  createRecordSource,
  type RecentRecords,
} from '../journal/recent-records.ts'
import { createSinks, retryPolicy, type SinkPart } from './create-sinks.ts'
import { type Cursors, openCursors } from './cursors.ts'
import { createShipper, type Shipper } from './shipper.ts'
import { recordSinks } from './switched-off.ts'
import type { FromThread, ThreadOptions, ThreadStatus } from './thread-messages.ts'

/** The shippers of all sinks, without the thread's messages. */
export type Work = {
  cursors(): SinkOffsets
  take(block: CommittedBlock): void
  skip(endOffset: number, bytes: number): void
  status(): ThreadStatus
  drain(): Promise<void>
  forget(person: Person, endOffset: number): Promise<Forgotten>
  close(): Promise<void>
}

export type WorkOutlets = { post(message: FromThread): void; log: Log }

type SinkShipper = SinkPart & { shipper: Shipper; reader: Reader }

/** Bounds the overhead of many small blocks, which their bytes do not include. */
const ringBlocksMax = 16_384

/**
 * Opens cursors, sinks and journal and starts the shippers. Rejects with a text for the operator when
 * one of them cannot be opened.
 */
export async function startWork(options: ThreadOptions, outlets: WorkOutlets): Promise<Work> {
  const { config, journalId, endOffset } = options
  const cursors = openCursors({ dir: options.stateDir, journalId })
  recordSinks({ dir: options.stateDir, journalId, endOffset, config })
  const bounds = { bytesMax: config.RING_BYTES_MAX, blocksMax: ringBlocksMax }
  const recent = createRecentRecords({ ...bounds, endOffset })
  const parts = await createSinks({ config, journalId, cursors, log: outlets.log })
  const collector = createGarbageCollector({ everyBytes: collectEveryBytes })
  const context = { options, cursors, recent, outlets, collector, onAdvanced: release }
  const shippers = await Promise.all(parts.map((part) => startShipper(part, context)))
  const closing = new AbortController()
  announce(endOffset, 0)
  for (const { shipper } of shippers) shipper.start()

  function release(): void {
    recent.release(Math.min(...shippers.map(({ shipper }) => shipper.cursor())))
  }

  function announce(end: number, bytes: number): void {
    for (const { shipper } of shippers) shipper.announce(end, bytes)
  }

  return {
    cursors: () =>
      Object.fromEntries(shippers.map(({ sink, shipper }) => [sink.name, shipper.cursor()])),
    take(block) {
      const bytes = block.bytes.byteLength
      const heldBytes = recent.stats.bytes + bytes
      recent.push(block)
      announce(recent.endOffset, bytes)
      collector.add(heldBytes - recent.stats.bytes)
    },
    skip(end, bytes) {
      recent.skipTo(end)
      announce(end, bytes)
    },
    status: () => toStatus(shippers, recent),
    async drain() {
      await Promise.all(shippers.map(({ shipper }) => shipper.drain()))
    },
    forget: (person, end) => forget(shippers, { person, end, signal: closing.signal }),
    close() {
      closing.abort(new Error('the server is stopping'))
      return close(shippers, cursors)
    },
  }
}

/**
 * Blocks beyond RING_BYTES_MAX and records read from the journal are unused soon. Without forced
 * collections several times RING_BYTES_MAX stays in memory.
 */
const collectEveryBytes = 32 * 1024 * 1024

type ShipperContext = {
  options: ThreadOptions
  cursors: Cursors
  recent: RecentRecords
  outlets: WorkOutlets
  collector: GarbageCollector
  onAdvanced(): void
}

async function startShipper(
  part: SinkPart,
  { options, cursors, recent, outlets, collector, onAdvanced }: ShipperContext,
): Promise<SinkShipper> {
  const { sink, counters, limits, flushMs } = part
  const reader = await openReader({ dir: options.journalDir, log: outlets.log })
  const shipper = createShipper({
    ...{ sink, cursors, limits, flushMs, fromOffset: 0, now: Date.now },
    ...retryPolicy,
    source: createRecordSource({ recent, reader: toCounted(reader, collector.add) }),
    onShipped: counters.shipped,
    onAdvanced(offset) {
      onAdvanced()
      outlets.post({ type: 'advanced', sink: sink.name, offset })
    },
    onFault(error) {
      counters.report.retried('fault', error instanceof Error ? error.message : String(error))
    },
  })
  return { ...part, shipper, reader }
}

/** Calls `count` with the bytes of each read. */
function toCounted(reader: Reader, count: (bytes: number) => void): Pick<Reader, 'read'> {
  return {
    async read(fromOffset, limits) {
      const records = await reader.read(fromOffset, limits)
      count(records.reduce((bytes, { lineBytes }) => bytes + lineBytes, 0))
      return records
    },
  }
}

function toStatus(shippers: readonly SinkShipper[], recent: RecentRecords): ThreadStatus {
  const sinks = shippers.map(({ sink, counters }) => {
    const isHealthy = sink.isHealthy()
    const lastError = isHealthy ? undefined : counters.lastError()
    const recordingBytesMax = sink.recordingBytesMax?.()
    const more = {
      recordingBytesMax,
      partitions: sink.partitions?.(),
      refusals: counters.refusals(),
    }
    return [sink.name, { ...counters.snapshot(), isHealthy, lastError, ...more }]
  })
  const { bytes, blocks } = recent.stats
  return { sinks: Object.fromEntries(sinks), ring: { bytes, blocks } }
}

type Forgetting = { person: Person; end: number; signal: AbortSignal }

/** Rows that are stored later would stay, so each sink must have all records that wait now. */
async function forget(
  shippers: readonly SinkShipper[],
  { person, end, signal }: Forgetting,
): Promise<Forgotten> {
  const done = shippers.map(async ({ sink, shipper }): Promise<Forgotten> => {
    if (!sink.forget) return { deleted: {}, others: [] }
    // The archive leaves out by time of receipt, so it need not have them.
    if (sink.name !== 'archive') await shipper.reach(end)
    return await sink.forget(person, signal)
  })
  // All of them end before the answer: a repeated call must not meet the one that it repeats.
  await Promise.allSettled(done)
  const all = await Promise.all(done)
  return {
    deleted: Object.assign({}, ...all.map(({ deleted }) => deleted)),
    others: all.flatMap(({ others }) => others),
  }
}

/** Closes users before what they use. */
async function close(shippers: readonly SinkShipper[], cursors: Cursors): Promise<void> {
  await Promise.all(shippers.map(({ shipper }) => shipper.stop()))
  await Promise.all(shippers.map(({ sink }) => sink.close()))
  await Promise.all(shippers.map(({ reader }) => reader.close()))
  cursors.close()
}
