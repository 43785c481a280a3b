import type { Config } from '../../config/config.ts'
import { retryUntilAborted, sleep } from '../../core/async.ts'
import type { Log } from '../../core/log.ts'
import type { StoredRecord } from '../../core/record.ts'
import type { Sink, SinkName } from '../../core/sink.ts'
import type { ReadLimits } from '../../journal/reader.ts'
import { createReadBack } from '../clickhouse/read-back.ts'
import { parseClickHouseSettings } from '../clickhouse/settings.ts'
import { createClickHouseSink } from '../clickhouse/sink.ts'
import { createStore } from '../clickhouse/store.ts'
import { tableOf } from '../clickhouse/tables.ts'
import { retryPolicy, toBytesMax } from '../create-sinks.ts'
import type { PendingRange } from '../cursors.ts'
import { parseKafkaSettings } from '../kafka/settings.ts'
import { createKafkaSink } from '../kafka/sink.ts'
import { createSinkCounters } from '../sink-counters.ts'

/** A sink that gets archived records again. */
export type ReplayTarget = {
  name: SinkName
  /** The size of one call. */
  limits: ReadLimits
  /**
   * Resolves with the number of records that were sent, once all are on the sink's disk: the others were
   * there. Retries until the signal aborts.
   */
  send(journalId: string, records: readonly StoredRecord[], signal: AbortSignal): Promise<number>
  close(): Promise<void>
}

export type ReplayTargetOptions = {
  config: Config
  /** Names the inserts of this replay, also after an interruption. */
  runId: string
  /** An insert of the interrupted run may still be on its way. */
  isResumed: boolean
  log: Log
  signal: AbortSignal
}

/** An insert whose connection broke may arrive this much later (clickhouse/sender.ts). */
const graceMs = 1000

/**
 * Sends only the rows that the table does not hold, so a replay stores no row twice. Rejects with a
 * text for the operator if the embedded ClickHouse cannot be loaded.
 */
export async function openClickHouseTarget(options: ReplayTargetOptions): Promise<ReplayTarget> {
  const { config, runId, isResumed, log, signal } = options
  const settings = parseClickHouseSettings(config)
  const { clickhouse, prepare } = await createStore(settings, log)
  const { report } = createSinkCounters('clickhouse', log)
  const base = {
    ...{ clickhouse, prepare, report, now: Date.now },
    ...retryPolicy,
    // The server's own inserts have the journal's id: this one must not wait for them.
    insertPrefix: `replay-${runId}`,
    cluster: settings.CLICKHOUSE_CLUSTER,
    killAfterMs: settings.CLICKHOUSE_TIMEOUT_MS,
  }
  const readBack = createReadBack(base)
  const retry = <T>(call: () => Promise<T>) => {
    const onFault = (error: unknown) => report.retried('fault', (error as Error).message)
    return retryUntilAborted(call, { ...retryPolicy, onFault }, signal)
  }
  await retry(prepare)
  if (isResumed) {
    await sleep(graceMs, signal)
    await retry(() => readBack.settle(signal))
  }
  // A dead letter of the sink is named after its place in the journal, so each journal has a sink.
  const sinks = new Map<string, Sink>()
  const sinkOf = (journalId: string) => {
    const sink =
      sinks.get(journalId) ?? createClickHouseSink({ ...base, journalId, cursors: createMemory() })
    sinks.set(journalId, sink)
    return sink
  }

  async function findMissing(records: readonly StoredRecord[]): Promise<StoredRecord[]> {
    const byTable = Map.groupBy(records, ({ kind }) => tableOf[kind])
    const missing: StoredRecord[] = []
    for (const [table, rows] of byTable)
      missing.push(...(await readBack.findMissing({ table, records: rows }, signal)))
    return missing
  }

  return {
    name: 'clickhouse',
    limits: { recordsMax: settings.CLICKHOUSE_ROWS_MAX, bytesMax: toBytesMax(settings) },
    async send(journalId, records) {
      const missing = await retry(() => findMissing(records))
      const [first, last] = [missing[0], missing.at(-1)]
      if (!first || !last) return 0
      const range = { firstOffset: first.offset, lastOffset: last.offset }
      await sinkOf(journalId).ship({ ...range, records: missing }, signal)
      return missing.length
    },
    close: () => clickhouse.close(),
  }
}

/** The sink notes a range here before an insert. A replay that was interrupted reads the rows back, so memory is enough. */
function createMemory() {
  let pending: PendingRange | undefined
  return {
    pending: () => pending,
    begin(_: SinkName, range: PendingRange) {
      pending = range
    },
  }
}

/** Sends every record: a topic cannot be asked for what it holds. */
export async function openKafkaTarget({ config, log }: ReplayTargetOptions): Promise<ReplayTarget> {
  const settings = parseKafkaSettings(config)
  const { report } = createSinkCounters('kafka', log)
  const sink = createKafkaSink({ settings, log, report, now: Date.now })
  return {
    name: 'kafka',
    limits: { recordsMax: 4096, bytesMax: 8 * 1024 * 1024 },
    async send(_, records, signal) {
      const range = { firstOffset: records[0]!.offset, lastOffset: records.at(-1)!.offset }
      await sink.ship({ ...range, records }, signal)
      return records.length
    },
    close: sink.close,
  }
}
