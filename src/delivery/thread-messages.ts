import type { Config } from '../config/config.ts'
import type { CommittedBlock } from '../core/record.ts'
import type { Forgotten, Person, SinkName, SinkOffsets, SinkRefusal } from '../core/sink.ts'
import type { SinkCounts } from './sink-counters.ts'

/** Plain data: it is sent to the delivery thread. */
export type ThreadOptions = {
  config: Config
  journalDir: string
  journalId: string
  /** The offset after the last committed record at the start of the thread. */
  endOffset: number
  /** The folder of the cursors; each journal has its own. */
  stateDir: string
  /** An Int32. The thread adds the bytes of every block that it has taken, modulo 2^32. */
  takenBytes: SharedArrayBuffer
}

export type DeliveryThread = {
  options: ThreadOptions
  /** The cursor of each sink. */
  ready: SinkOffsets
  toThread: ToThread
  fromThread: FromThread
}

export type ToThread =
  /** In the journal's order. Their bytes are transferred. */
  | { type: 'blocks'; blocks: readonly CommittedBlock[] }
  /** Records below `endOffset` are committed. The thread reads the new ones from the journal. */
  | { type: 'skipped'; endOffset: number; bytes: number }
  | { type: 'drain' }
  /** Deletes what sinks have of a person, once they have every record below `endOffset`. */
  | { type: 'forget'; id: number; person: Person; endOffset: number }
  | { type: 'close' }

export type FromThread =
  | { type: 'advanced'; sink: SinkName; offset: number }
  | { type: 'status'; status: ThreadStatus }
  | { type: 'log'; level: LogLevel; fields: object; message: string }
  | { type: 'drained' }
  | { type: 'forgotten'; id: number; outcome: Forgotten | { error: string } }
  | { type: 'closed' }

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

export type ThreadStatus = {
  sinks: Partial<Record<SinkName, SinkStatus>>
  ring: { bytes: number; blocks: number }
}

export type SinkStatus = SinkCounts & {
  isHealthy: boolean
  lastError: string | undefined
  /** The largest record of a recording that the sink accepts; undefined without a known limit. */
  recordingBytesMax?: number | undefined
  partitions?: Readonly<Record<string, number>> | undefined
  refusals?: readonly SinkRefusal[]
}
