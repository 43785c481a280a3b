import { readFileSync } from 'node:fs'
import type { Clock } from '../../core/clock.ts'
import type { Log } from '../../core/log.ts'
import type { Batch, Sink } from '../../core/sink.ts'
import type { SinkReport } from '../report.ts'
import { createKafkaClient } from './client.ts'
import { createClosing, createDelivery } from './delivery.ts'
import { toMessage, toTopic } from './message.ts'
import { createOutbox } from './outbox.ts'
import type { KafkaSettings } from './settings.ts'

export type KafkaSink = Sink & { counters(): KafkaCounters }
export type KafkaCounters = { retries: number; deadLettered: Record<string, number> }

export type KafkaSinkOptions = {
  settings: KafkaSettings
  log: Log
  /** Hears of every retry and dead letter. */
  report?: SinkReport
  now: Clock
  /** How soon a changed partition count is noticed, ms. */
  metadataMsMax?: number
}

/**
 * Sends every record to Kafka at least once, in the journal's order per partition, and calls it shipped
 * once all in-sync replicas have it. It belongs into the shippers' thread: what Kafka costs is encoding.
 */
export function createKafkaSink(options: KafkaSinkOptions): KafkaSink {
  const { settings, log, now, metadataMsMax = 30_000 } = options
  const counters: KafkaCounters = { retries: 0, deadLettered: {} }
  const closing = createClosing()
  const caFile = settings.tls?.caFile
  const client = createKafkaClient({
    settings,
    // Once, and at the start: a file that is not there is better told then.
    ca: caFile ? readFileSync(caFile, 'utf8') : undefined,
    metadataMsMax,
    onPartitions: (topic, count) => outbox.setPartitions(topic, count),
  })
  const report: SinkReport = {
    retried(reason, message) {
      counters.retries += 1
      options.report?.retried(reason, message)
    },
    deadLettered(record, reason) {
      counters.deadLettered[reason] = (counters.deadLettered[reason] ?? 0) + 1
      options.report?.deadLettered(record, reason)
    },
  }
  const outbox = createOutbox({ settings, client, closing, log, report, now })

  async function ship({ records }: Batch, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    const { delivery, done } = createDelivery(records.length, [signal, closing.signal])
    for (const record of records) {
      const message = toMessage(record, settings.compressAboveBytes)
      outbox.send(toTopic(settings.topics, record), { record, message, delivery })
    }
    await done
  }
  return {
    name: 'kafka',
    // Lanes gather across batches: with a few under way none of them waits for the slowest one.
    inflightMax: 4,
    ship,
    // What may have arrived already arrives again: at least once.
    resume: ship,
    isHealthy: outbox.isHealthy,
    counters: () => counters,
    async close() {
      closing.close()
      await client.close()
    },
  }
}
