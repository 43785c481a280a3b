import { join } from 'node:path'
import { createCloser } from '../../../src/app/closer.ts'
import { openStorage, type StorageOptions } from '../../../src/app/storage.ts'
import { type Config, loadConfig } from '../../../src/config/config.ts'
import { silentLog } from '../../../src/core/log.ts'
import type { JournalRecord } from '../../../src/core/record.ts'
import type { SinkOffsets } from '../../../src/core/sink.ts'
import type { Shipping, ShippingOptions } from '../../../src/delivery/shipping.ts'
import { openJournal } from '../../../src/journal/journal.ts'
import { toDedupKey } from '../ingest/support.ts'

/** The smallest server that the bounds of the settings allow. */
export function makeConfig(dataDir: string, environment: Record<string, string> = {}): Config {
  return loadConfig({
    DATA_DIR: dataDir,
    PORT: '0',
    HOST: '127.0.0.1',
    LOG_LEVEL: 'silent',
    JOURNAL_MAX_BYTES: '16MiB',
    JOURNAL_SEGMENT_BYTES: '1MiB',
    DEDUP_BYTES_MAX: '1MiB',
    EMBEDDED_CLICKHOUSE_PORT: '0',
    ...environment,
  }).config
}

export type FakeShipping = ReturnType<typeof createFakeShipping>

/** Shipping without a thread. The test reports the progress of its sinks by `advance`. */
export function createFakeShipping({
  cursors = { clickhouse: 0 },
  startError,
  onClose = () => {},
}: {
  cursors?: SinkOffsets
  startError?: Error
  onClose?: () => void
} = {}) {
  const calls: string[] = []
  const given: ShippingOptions[] = []
  const create = (options: ShippingOptions): Shipping => {
    given.push(options)
    return {
      async start() {
        if (startError) throw startError
        return cursors
      },
      forget: async () => ({ deleted: {}, others: [] }),
      push: ({ firstOffset, count }) => void calls.push(`push ${firstOffset}+${count}`),
      health: () => ({}),
      stats: () => ({
        sinks: {},
        ring: { bytes: 0, blocks: 0 },
        transitBytes: 0,
        threadRestarts: 0,
        recordingBytesMax: Number.POSITIVE_INFINITY,
      }),
      withoutDisk: new Promise(() => {}),
      isWithoutDisk: () => false,
      positions: () => ({}),
      recordingBytesMax: () => Number.POSITIVE_INFINITY,
      async drain(msMax) {
        calls.push(`drain ${msMax > 0 ? 'with time' : 'without time'}`)
        return true
      },
      async close() {
        calls.push('close')
        onClose()
      },
    }
  }
  return {
    create,
    calls,
    given,
    advance: (sink: 'clickhouse' | 'kafka', offset: number) =>
      given.at(-1)?.onAdvanced(sink, offset),
  }
}

export const toRecord = (seed: string): JournalRecord => ({
  kind: 'event',
  route: 'main',
  source: 'capture',
  uuid: '0190a5f4-0000-7000-8000-000000000001',
  dedupKey: toDedupKey(seed),
  event: seed,
  key: `project:${seed}`,
  receivedMs: Date.now(),
  line: `{"event":"${seed}"}`,
})

/** Opens storage with fake shipping. `close` closes everything that was opened. */
export async function openTestStorage(
  config: Config,
  shipping: FakeShipping,
  options: Partial<StorageOptions> = {},
) {
  const closer = createCloser(silentLog)
  try {
    const storage = await openStorage({
      ...{ config, log: silentLog, now: Date.now, startCommit: undefined, shared: undefined },
      ...{ closer, createShipping: shipping.create },
      ...options,
    })
    return { storage, close: closer.close }
  } catch (error) {
    await closer.close(0)
    throw error
  }
}

/** The journal of `folder`, as the process that owns it opens it. */
export function openJournalIn(folder: string) {
  return openJournal({
    dir: join(folder, 'journal'),
    segmentBytes: 1024 * 1024,
    bytesMax: 16 * 1024 * 1024,
    durability: 'disk',
    now: Date.now,
    log: silentLog,
    onCommitted() {},
  })
}
