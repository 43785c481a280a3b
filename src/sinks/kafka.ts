import { readFileSync } from 'node:fs'
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import type { Batch, Sink } from '../core/sink.ts'
import { createKafkaClient } from './kafka-client.ts'
import { createClosing, createDelivery } from './kafka-delivery.ts'
import { toMessage, toTopic } from './kafka-message.ts'
import { createOutbox, type KafkaCounters } from './kafka-outbox.ts'
import type { KafkaSettings } from './kafka-settings.ts'

export type KafkaSink = Sink & { counters(): KafkaCounters }

export type KafkaSinkOptions = {
  settings: KafkaSettings
  log: Log
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
  const closing = createClosing()
  const caFile = settings.tls?.caFile
  const client = createKafkaClient({
    settings,
    // Once, and at the start: a file that is not there is better told then.
    ca: caFile ? readFileSync(caFile, 'utf8') : undefined,
    metadataMsMax,
    onPartitions: (topic, count) => outbox.setPartitions(topic, count),
  })
  const outbox = createOutbox({ settings, client, closing, log, now })

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
    counters: outbox.counters,
    async close() {
      closing.close()
      await client.close()
    },
  }
}
