import type { Config } from '../config/config.ts'
import { type RetryPolicy, sleep } from '../core/async.ts'
import type { Log } from '../core/log.ts'
import { type Sink, type SinkName, sinkNames } from '../core/sink.ts'
import type { ReadLimits } from '../journal/reader.ts'
import { type ArchiveSettings, parseArchiveSettings } from './archive/settings.ts'
import { type ClickHouseSettings, parseClickHouseSettings } from './clickhouse/settings.ts'
import type { Cursors } from './cursors.ts'
import { type KafkaSettings, parseKafkaSettings } from './kafka/settings.ts'
import { createSinkCounters, type SinkCounters } from './sink-counters.ts'

/** A sink and the options of its shipper. */
export type SinkPart = {
  sink: Sink
  counters: SinkCounters
  /** The size of one batch, and how long its first record waits for others. */
  limits: ReadLimits
  flushMs: number
}

export type SinkOptions = { config: Config; journalId: string; cursors: Cursors; log: Log }

/** To add a sink: its folder, its name in core/sink.ts, its settings and one entry here. */
const sinks = {
  clickhouse: defineSink(parseClickHouseSettings, createClickHousePart),
  kafka: defineSink(parseKafkaSettings, createKafkaPart),
  archive: defineSink(parseArchiveSettings, createArchivePart),
} satisfies Record<SinkName, SinkDefinition>

/**
 * The sinks that are on. Throws an Error with a text for the operator when SINKS names none, when it or
 * SINKS_ABANDON names an unknown one, or when the settings of a sink contradict each other.
 */
export function parseEnabledSinks(config: Config): SinkName[] {
  const named = parseSinkNames('SINKS', config.SINKS ?? toDefaultSinks(config))
  // With ARCHIVE set, the archive must be complete, whatever else SINKS names.
  const names = sinkNames.filter((name) => named.includes(name) || isArchive(name, config))
  if (names.length === 0)
    throw new Error(`SINKS names no sink; the sinks are ${sinkNames.join(', ')}`)
  parseAbandonedSinks(config)
  for (const name of names) sinks[name].parse(config)
  return names
}

const isArchive = (name: SinkName, { ARCHIVE: place }: Config) =>
  name === 'archive' && place !== undefined

const toDefaultSinks = ({ KAFKA_BROKERS: brokers }: Config): SinkName[] =>
  brokers.length > 0 ? ['clickhouse', 'kafka'] : ['clickhouse']

/** The sinks whose missing records are given up when they are switched off. */
export const parseAbandonedSinks = (config: Config): SinkName[] =>
  parseSinkNames('SINKS_ABANDON', config.SINKS_ABANDON)

/** The names in the order of `sinkNames`, each once. */
function parseSinkNames(setting: string, names: readonly string[]): SinkName[] {
  const unknown = names.find((name) => !sinkNames.includes(name as SinkName))
  if (unknown !== undefined)
    throw new Error(`${setting} "${unknown}" is not a sink; the sinks are ${sinkNames.join(', ')}`)
  return sinkNames.filter((name) => names.includes(name))
}

/** Rejects with a text for the operator when a sink cannot work on this machine. */
export function createSinks(options: SinkOptions): Promise<SinkPart[]> {
  const names = parseEnabledSinks(options.config)
  return Promise.all(names.map((name) => sinks[name].create(options)))
}

type SinkDefinition = {
  parse(config: Config): object
  create(options: SinkOptions): Promise<SinkPart>
}

/** `parse` throws on contradictory settings. */
function defineSink<S extends object>(
  parse: (config: Config) => S,
  create: (settings: S, options: SinkOptions) => Promise<SinkPart>,
): SinkDefinition {
  return {
    parse,
    create: (options) => create(parse(options.config), options),
  }
}

/** A sink is tried again within seconds of its return. The jitter spreads the attempts of the nodes. */
export const retryPolicy: RetryPolicy = {
  backoff: { firstMs: 50, maxMs: 5_000 },
  sleep,
  random: Math.random,
}

async function createClickHousePart(
  settings: ClickHouseSettings,
  { journalId, cursors, log }: SinkOptions,
): Promise<SinkPart> {
  // Only the delivery thread loads the sinks; the main thread imports this file for their settings.
  const [{ createStore }, { createClickHouseSink }] = await Promise.all([
    import('./clickhouse/store.ts'),
    import('./clickhouse/sink.ts'),
  ])
  const { clickhouse, prepare } = await createStore(settings, log)
  const counters = createSinkCounters('clickhouse', log)
  const sink = createClickHouseSink({
    ...{ clickhouse, prepare, journalId, cursors, report: counters.report, now: Date.now },
    ...retryPolicy,
    cluster: settings.CLICKHOUSE_CLUSTER,
    killAfterMs: settings.CLICKHOUSE_TIMEOUT_MS,
  })
  const limits = { recordsMax: settings.CLICKHOUSE_ROWS_MAX, bytesMax: toBytesMax(settings) }
  return { sink, counters, limits, flushMs: settings.CLICKHOUSE_FLUSH_MS }
}

/**
 * About 50,000 rows. Larger parts are merged less often and share the pause between two inserts, but
 * the embedded ClickHouse takes several times their size from this process's memory.
 */
const embeddedBytesMax = 40 * 1024 * 1024

export const toBytesMax = ({
  CLICKHOUSE_URL: url,
  CLICKHOUSE_BYTES_MAX: bytesMax,
}: ClickHouseSettings) => (url === undefined ? Math.min(bytesMax, embeddedBytesMax) : bytesMax)

/** The sink gathers its sends itself: it needs records soon, a few batches at a time. */
const kafkaFlushMs = 5
const kafkaLimits: ReadLimits = { recordsMax: 4096, bytesMax: 8 * 1024 * 1024 }

async function createKafkaPart(settings: KafkaSettings, { log }: SinkOptions): Promise<SinkPart> {
  const { createKafkaSink } = await import('./kafka/sink.ts')
  const counters = createSinkCounters('kafka', log)
  const sink = createKafkaSink({ settings, log, report: counters.report, now: Date.now })
  return { sink, counters, limits: kafkaLimits, flushMs: kafkaFlushMs }
}

/** Compressed, an object of this size takes a few megabytes. The records of a batch are in memory meanwhile. */
const archiveLimits: ReadLimits = { recordsMax: 100_000, bytesMax: 32 * 1024 * 1024 }

async function createArchivePart(
  { place, flushMs }: ArchiveSettings,
  { journalId, cursors, log }: SinkOptions,
): Promise<SinkPart> {
  const [{ openArchive }, { createArchiveSink }] = await Promise.all([
    import('./archive/store.ts'),
    import('./archive/sink.ts'),
  ])
  const counters = createSinkCounters('archive', log)
  const { report } = counters
  const store = openArchive(place)
  const sink = createArchiveSink({ ...retryPolicy, store, journalId, cursors, report })
  return { sink, counters, limits: archiveLimits, flushMs }
}
