import { type RetryPolicy, sleep } from '../core/async.ts'
import type { Log } from '../core/log.ts'
import type { Sink } from '../core/sink.ts'
import type { ReadLimits } from '../journal/reader.ts'
import { createClickHouseSink } from './clickhouse/sink.ts'
import { type ClickHouseSettings, createStore } from './clickhouse/store.ts'
import type { Cursors } from './cursors.ts'
import type { KafkaSettings } from './kafka/settings.ts'
import { createKafkaSink } from './kafka/sink.ts'
import { createTally, type SinkTally, type Tally } from './tally.ts'
import type { ThreadOptions } from './thread-messages.ts'

/** A sink with what its shipper must know of it. */
export type SinkPart = {
  sink: Sink
  tally: Tally
  counts(): SinkTally
  /** What one batch may hold, and how long its first record waits for others. */
  limits: ReadLimits
  flushMs: number
}

/** A sink that is down is tried again within seconds of its return; nodes spread their attempts. */
export const retryPolicy: RetryPolicy = {
  backoff: { firstMs: 50, maxMs: 5_000 },
  sleep,
  random: Math.random,
}

export type SinkPartsOptions = { options: ThreadOptions; cursors: Cursors; log: Log }

/**
 * The sinks that are configured. Rejects, in words for the operator, where one of them cannot work
 * here.
 */
export async function createSinkParts(given: SinkPartsOptions): Promise<SinkPart[]> {
  const { kafka } = given.options
  const clickhouse = await createClickHousePart(given)
  return kafka ? [clickhouse, createKafkaPart(kafka, given.log)] : [clickhouse]
}

async function createClickHousePart({
  options,
  cursors,
  log,
}: SinkPartsOptions): Promise<SinkPart> {
  const { clickhouse: settings, journalId } = options
  const { clickhouse, prepare } = await createStore(settings, log)
  const tally = createTally('clickhouse', log)
  const sink = createClickHouseSink({
    ...{ clickhouse, prepare, journalId, cursors, report: tally.report, now: Date.now },
    ...retryPolicy,
    cluster: settings.cluster,
    patienceMs: settings.timeoutMs,
  })
  return {
    ...{ sink, tally, counts: tally.snapshot, flushMs: settings.flushMs },
    limits: { recordsMax: settings.rowsMax, bytesMax: toBytesMax(settings) },
  }
}

/**
 * Some 50,000 rows: larger parts are merged less often, and what lies between two inserts weighs
 * less; but they take memory of this process several times over.
 */
const embeddedBytesMax = 40 * 1024 * 1024

const toBytesMax = ({ url, bytesMax }: ClickHouseSettings) =>
  url === undefined ? Math.min(bytesMax, embeddedBytesMax) : bytesMax

/** The sink gathers its sends itself; here records only need to arrive, a few batches at a time. */
const kafkaFlushMs = 5
const kafkaLimits: ReadLimits = { recordsMax: 4096, bytesMax: 8 * 1024 * 1024 }

function createKafkaPart(settings: KafkaSettings, log: Log): SinkPart {
  const tally = createTally('kafka', log)
  const sink = createKafkaSink({ settings, log, report: tally.report, now: Date.now })
  return { sink, tally, counts: tally.snapshot, flushMs: kafkaFlushMs, limits: kafkaLimits }
}
