import type { CommittedBlock } from '../core/record.ts'
import type { SinkName } from '../core/sink.ts'
import type { ClickHouseSettings } from './clickhouse/store.ts'
import type { KafkaSettings } from './kafka/settings.ts'
import type { SinkTally } from './tally.ts'

/** Everything that the shippers' thread needs to know; plain data. */
export type ThreadOptions = {
  journalDir: string
  journalId: string
  /** Where the journal's commits ended when the thread was started. */
  endOffset: number
  /** Folder of the cursors. */
  stateDir: string
  ringBytesMax: number
  clickhouse: ClickHouseSettings
  /** Undefined sends nothing to Kafka. */
  kafka: KafkaSettings | undefined
  /** An Int32 that the thread adds the bytes of every block to which it has taken, modulo 2^32. */
  takenBytes: SharedArrayBuffer
}

export type ShippersThread = {
  options: ThreadOptions
  /** The cursor of each sink. */
  ready: Partial<Record<SinkName, number>>
  toThread: ToThread
  fromThread: FromThread
}

export type ToThread =
  /** In the journal's order. Their bytes are transferred. */
  | { type: 'blocks'; blocks: readonly CommittedBlock[] }
  /** Records below `endOffset` are committed; these blocks are to be read from the journal. */
  | { type: 'skipped'; endOffset: number; bytes: number }
  | { type: 'drain' }
  | { type: 'close' }

export type FromThread =
  | { type: 'advanced'; sink: SinkName; offset: number }
  | { type: 'status'; status: ThreadStatus }
  | { type: 'log'; level: LogLevel; fields: object; message: string }
  | { type: 'drained' }
  | { type: 'closed' }

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

export type ThreadStatus = {
  sinks: Partial<Record<SinkName, SinkStatus>>
  ring: { bytes: number; blocks: number }
}

export type SinkStatus = SinkTally & { isHealthy: boolean; lastError: string | undefined }
