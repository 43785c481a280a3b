import { createGarbageCollector, type GarbageCollector } from '../core/collect-garbage.ts'
import type { Log } from '../core/log.ts'
import type { CommittedBlock } from '../core/record.ts'
import type { SinkName } from '../core/sink.ts'
import { openReader, type Reader } from '../journal/reader.ts'
import {
  createRecentRecords,
  createRecordSource,
  type RecentRecords,
} from '../journal/recent-records.ts'
import { createSinkParts, retryPolicy, type SinkPart } from './create-sinks.ts'
import { type Cursors, openCursors } from './cursors.ts'
import { createShipper, type Shipper } from './shipper.ts'
import type { FromThread, ThreadOptions, ThreadStatus } from './thread-messages.ts'

/** What the shippers' thread does between its messages. */
export type Work = {
  cursors(): Partial<Record<SinkName, number>>
  take(block: CommittedBlock): void
  skip(endOffset: number, bytes: number): void
  status(): ThreadStatus
  drain(): Promise<void>
  close(): Promise<void>
}

export type WorkOutlets = { post(message: FromThread): void; log: Log }

type Line = SinkPart & { shipper: Shipper; reader: Reader }

/** A ring of many small blocks costs more in memory than their bytes tell. */
const ringBlocksMax = 16_384

/**
 * Opens cursors, sinks and journal, and ships. Rejects, in words for the operator, where that
 * cannot be.
 */
export async function startWork(options: ThreadOptions, outlets: WorkOutlets): Promise<Work> {
  const { endOffset, ringBytesMax } = options
  const cursors = openCursors({ dir: options.stateDir, journalId: options.journalId })
  const bounds = { bytesMax: ringBytesMax, blocksMax: ringBlocksMax }
  const window = createRecentRecords({ ...bounds, endOffset })
  const parts = await createSinkParts({ options, cursors, log: outlets.log })
  const collector = createGarbageCollector({ everyBytes: collectEveryBytes })
  const lines = await Promise.all(
    parts.map((part) => createLine(part, { options, cursors, window, outlets, collector })),
  )
  announce(endOffset, 0)
  for (const { shipper } of lines) shipper.start()

  function announce(end: number, bytes: number): void {
    for (const { shipper } of lines) shipper.announce(end, bytes)
  }

  return {
    cursors: () =>
      Object.fromEntries(lines.map(({ sink, shipper }) => [sink.name, shipper.cursor()])),
    take(block) {
      window.push(block)
      announce(window.endOffset, block.bytes.byteLength)
      collector.add(block.bytes.byteLength)
    },
    skip(end, bytes) {
      window.skipTo(end)
      announce(end, bytes)
    },
    status: () => toStatus(lines, window),
    async drain() {
      await Promise.all(lines.map(({ shipper }) => shipper.drain()))
    },
    close: () => close(lines, cursors),
  }
}

/**
 * Each block taken in pushes as many bytes out of the recent records, and a shipper that catches up drops what it has
 * read. Without forced collections several times the size of the recent records stays in memory.
 */
const collectEveryBytes = 32 * 1024 * 1024

type LineParts = {
  options: ThreadOptions
  cursors: Cursors
  window: RecentRecords
  outlets: WorkOutlets
  collector: GarbageCollector
}

async function createLine(
  part: SinkPart,
  { options, cursors, window, outlets, collector }: LineParts,
): Promise<Line> {
  const { sink, tally, limits, flushMs } = part
  const reader = await openReader({ dir: options.journalDir, log: outlets.log })
  const shipper = createShipper({
    ...{ sink, cursors, limits, flushMs, fromOffset: 0, now: Date.now },
    ...retryPolicy,
    source: createRecordSource({ recent: window, reader: counted(reader, collector.add) }),
    onShipped: tally.shipped,
    onAdvanced: (offset) => outlets.post({ type: 'advanced', sink: sink.name, offset }),
    onFault(error) {
      tally.report.retried('fault', error instanceof Error ? error.message : String(error))
    },
  })
  return { ...part, shipper, reader }
}

/** Calls back with what is read. */
function counted(reader: Reader, count: (bytes: number) => void): Pick<Reader, 'read'> {
  return {
    async read(fromOffset, limits) {
      const records = await reader.read(fromOffset, limits)
      count(records.reduce((bytes, { lineBytes }) => bytes + lineBytes, 0))
      return records
    },
  }
}

function toStatus(lines: readonly Line[], window: RecentRecords): ThreadStatus {
  const sinks = lines.map(({ sink, tally, counts }) => {
    const isHealthy = sink.isHealthy()
    const lastError = isHealthy ? undefined : tally.lastError()
    return [sink.name, { ...counts(), isHealthy, lastError }]
  })
  const { bytes, blocks } = window.stats
  return { sinks: Object.fromEntries(sinks), ring: { bytes, blocks } }
}

/** In this order: nothing may use what is closed already. */
async function close(lines: readonly Line[], cursors: Cursors): Promise<void> {
  await Promise.all(lines.map(({ shipper }) => shipper.stop()))
  await Promise.all(lines.map(({ sink }) => sink.close()))
  await Promise.all(lines.map(({ reader }) => reader.close()))
  cursors.close()
}
