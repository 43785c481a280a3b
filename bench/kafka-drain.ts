import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadConfig } from '../src/config/config.ts'
import { silentLog } from '../src/core/log.ts'
import { retryPolicy } from '../src/delivery/create-sinks.ts'
import { openCursors } from '../src/delivery/cursors.ts'
import type { KafkaSettings } from '../src/delivery/kafka/settings.ts'
import { createKafkaSink } from '../src/delivery/kafka/sink.ts'
import { createShipper } from '../src/delivery/shipper.ts'
import { openJournal } from '../src/journal/journal.ts'
import { openReader } from '../src/journal/reader.ts'
import { createRecentRecords, createRecordSource } from '../src/journal/recent-records.ts'
import { startKafka } from '../test/services/kafka.ts'
import { createRecord, measure, partitions, type Run } from './kafka-records.ts'

/**
 * Measures how fast a prefilled journal drains into Kafka, in turn with bare kafkajs and bare
 * @platformatic/kafka, which send the same records from memory to the same broker: `bun
 * bench/kafka-drain.ts [records] [rounds]`. `KAFKA_*` of the environment apply to the sink. Prints each
 * run, then the medians. Exits with 1 if the sink takes more than 1.3 times the CPU of the cheaper of
 * the two.
 */
const count = Number(process.argv[2] ?? 400_000)
const rounds = Number(process.argv[3] ?? 3)
const recordsPerCommit = 500
const mib = 1024 * 1024
/** CPU per record of the sink, in times that of the cheaper bare client. */
const cpuRatioMax = 1.3

type Prefilled = { dir: string; id: string; endOffset: number }

async function prefill(dir: string): Promise<Prefilled> {
  const bounds = { segmentBytes: 64 * mib, bytesMax: 2 ** 40 }
  const options = { ...bounds, now: Date.now, log: silentLog, onCommitted() {} }
  const journal = await openJournal({ dir, durability: 'disk', ...options })
  for (let from = 0; from < count; from += recordsPerCommit) {
    const size = Math.min(recordsPerCommit, count - from)
    await journal.append(Array.from({ length: size }, (_, index) => createRecord(from + index)))
  }
  const { id, endOffset } = journal
  await journal.close()
  return { dir, id, endOffset }
}

type Client = 'kafkajs' | 'platformatic'

async function runBare(
  client: Client,
  { KAFKA_BROKERS: brokers, KAFKA_TOPIC_EVENTS: topic }: KafkaSettings,
): Promise<Run> {
  const script = join(import.meta.dir, `kafka-${client}.ts`)
  const args = [brokers.join(','), topic, String(count)]
  const child = Bun.spawn([process.execPath, script, ...args], { stderr: 'ignore' })
  return JSON.parse(await child.stdout.text())
}

/** Runs shipper and sink of the server from the first to the last record of the journal. */
async function runSink(settings: KafkaSettings, journal: Prefilled, stateDir: string) {
  const { dir, id, endOffset } = journal
  const sink = createKafkaSink({ settings, log: silentLog, now: Date.now, report: ignored })
  const cursors = openCursors({ dir: stateDir, journalId: id })
  const reader = await openReader({ dir, log: silentLog })
  const window = createRecentRecords({ bytesMax: 64 * mib, blocksMax: 1000, endOffset })
  const all = Promise.withResolvers<void>()
  let left = count
  const shipper = createShipper({
    ...{ sink, cursors, flushMs: 5, fromOffset: 0, now: Date.now, ...retryPolicy },
    limits: { recordsMax: 4096, bytesMax: 8 * mib },
    source: createRecordSource({ recent: window, reader }),
    onShipped({ records }) {
      left -= records.length
      if (left === 0) all.resolve()
    },
    onAdvanced() {},
    onFault: all.reject,
  })
  const run = await measure('journal', count, () => {
    shipper.start()
    shipper.announce(endOffset, count)
    return all.promise
  })
  await shipper.stop()
  await Promise.all([sink.close(), reader.close()])
  cursors.close()
  return run
}

function toSettings(brokers: readonly string[], topic: string): KafkaSettings {
  const kinds = ['EVENTS', 'OVERFLOW', 'HISTORICAL', 'RECORDINGS', 'LINK_EVENTS', 'DEAD_LETTERS']
  const { config } = loadConfig({
    ...process.env,
    ...Object.fromEntries(kinds.map((kind) => [`KAFKA_TOPIC_${kind}`, topic])),
    KAFKA_PARTITIONS: String(partitions),
  })
  return { ...config, KAFKA_BROKERS: [...brokers] }
}

const ignored = { retried() {}, deadLettered() {} }

async function main(folder: string): Promise<number> {
  const given = process.env.KAFKA_BROKERS?.split(',')
  const kafka = given ? undefined : await startKafka({ fullSpeed: true })
  const settings = toSettings(given ?? kafka!.brokers, `drain_${process.pid}`)
  const journal = await prefill(join(folder, 'journal'))
  console.log(JSON.stringify({ records: count, bytes: createRecord(0).line.length, partitions }))
  await runSink(settings, journal, join(folder, 'warm-up')) // Creates the topic, too.
  const runs: Run[] = []
  for (let round = 0; round < rounds; round += 1) {
    runs.push(await runBare('kafkajs', settings))
    runs.push(await runBare('platformatic', settings))
    runs.push(await runSink(settings, journal, join(folder, `round-${round}`)))
    for (const run of runs.slice(-3)) console.log(JSON.stringify({ round, ...run }))
  }
  await kafka?.stop()
  return report(runs)
}

/** Prints the medians. The ratio: CPU of the sink to that of the cheaper client. */
function report(runs: readonly Run[]): number {
  const medianOf = (who: string, field: 'perSecond' | 'cpuMicros') => {
    const values = runs.filter((run) => run.who === who).map((run) => run[field])
    return values.sort((a, b) => a - b)[values.length >> 1]!
  }
  const [kafkajs, platformatic, journal] = ['kafkajs', 'platformatic', 'journal'].map((who) => ({
    ...{ who, perSecond: medianOf(who, 'perSecond'), cpuMicros: medianOf(who, 'cpuMicros') },
  }))
  console.log(JSON.stringify({ medians: [kafkajs, platformatic, journal] }))
  return journal!.cpuMicros / Math.min(kafkajs!.cpuMicros, platformatic!.cpuMicros)
}

const folder = mkdtempSync(join(tmpdir(), 'spillway-drain-'))
try {
  const ratio = await main(folder)
  console.log(JSON.stringify({ cpuRatio: Number(ratio.toFixed(2)), wanted: cpuRatioMax }))
  process.exitCode = ratio > cpuRatioMax ? 1 : 0
} finally {
  rmSync(folder, { recursive: true, force: true })
}
process.exit()
