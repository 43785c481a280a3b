import { readSettingFile } from '../../config/setting-file.ts'
import { toDeadLetter } from '../../contracts/encode.ts'
import type { Clock } from '../../core/clock.ts'
import type { Log } from '../../core/log.ts'
import type { Batch, Sink } from '../../core/sink.ts'
import type { SinkReport } from '../sink-counters.ts'
import { createKafkaClient, type KafkaClient } from './client.ts'
import type { SendFault } from './fault.ts'
import { toDeadLetterMessage, toMessage, toTopic } from './message.ts'
import {
  type Closing,
  createClosing,
  createLinger,
  createPendingBatch,
  type PendingMessage,
} from './partition-queue.ts'
import { encodeRecordSet } from './record-set.ts'
import { type KafkaSettings, toTopics } from './settings.ts'
import { createTopic, type Topic } from './topic.ts'
import { ensureTopic } from './topics.ts'

export type KafkaSinkOptions = {
  settings: KafkaSettings
  log: Log
  /** Gets every retry and every dead letter. */
  report: SinkReport
  now: Clock
  /** A changed partition count is noticed within this time, ms. */
  metadataMsMax?: number
}

/**
 * Sends every record to Kafka at least once, in the journal's order per partition. A record is
 * shipped when all in-sync replicas have it. Runs in the delivery thread: its cost is CPU for encoding.
 */
export function createKafkaSink(options: KafkaSinkOptions): Sink {
  const { settings, metadataMsMax = 30_000 } = options
  const closing = createClosing()
  const caFile = settings.KAFKA_TLS_CA_FILE
  const client = createKafkaClient({
    settings,
    // Read once, at the start: a missing file is a configuration error.
    ca: settings.KAFKA_TLS && caFile ? readSettingFile('KAFKA_TLS_CA_FILE', caFile) : undefined,
    metadataMsMax,
    onPartitions: (topic, count) => router.setPartitions(topic, count),
  })
  const router = createTopicRouter({ ...options, client, closing })
  const topics = toTopics(settings)
  const compressAboveBytes = settings.KAFKA_COMPRESS_ABOVE_BYTES

  async function ship({ records }: Batch, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    const { batch, done } = createPendingBatch(records.length, [signal, closing.signal])
    for (const record of records) {
      const message = toMessage(record, compressAboveBytes)
      router.send(toTopic(topics, record), { record, message, batch })
    }
    await done
  }
  return {
    name: 'kafka',
    // Partition queues gather across batches. With four in flight, one slow partition does not stop
    // the others.
    inflightMax: 4,
    ship,
    // Records that have arrived before are sent again: at least once.
    resume: ship,
    isHealthy: router.isHealthy,
    recordingBytesMax: () => router.bytesMax(topics.recordings),
    partitions: router.partitions,
    async close() {
      closing.close()
      await client.close()
    },
  }
}

/** Sends messages to their topics, and rejected ones to the dead-letter topic. */
type TopicRouter = {
  send(topic: string, pending: PendingMessage): void
  setPartitions(topic: string, count: number): void
  isHealthy(): boolean
  bytesMax(topic: string): number | undefined
  /** The topics whose facts are known. */
  partitions(): Record<string, number>
}

type TopicRouterOptions = KafkaSinkOptions & { client: KafkaClient; closing: Closing }

function createTopicRouter(options: TopicRouterOptions): TopicRouter {
  const { settings, client, closing, log, report } = options
  const names = toTopics(settings)
  const compression = settings.KAFKA_COMPRESSION
  const topics = new Map<string, Topic>()
  const linger = createLinger(settings.KAFKA_LINGER_MS)

  const send = (topic: string, pending: PendingMessage) => topics.get(topic)!.enqueue(pending)

  function deadLetter(topic: string, { record, batch }: PendingMessage, fault: SendFault): void {
    const reason = fault.kind === 'too_large' ? 'record_too_large' : 'record_refused'
    const { message: detail } = fault
    if (topic === names.deadLetters) {
      log.error({ topic, uuid: record.head().uuid, detail }, 'kafka rejects a dead letter')
      batch.arrived()
      return
    }
    report.deadLettered(record, reason)
    const { uuid } = record.head()
    const letter = toDeadLetter({
      ...{ record, stage: 'kafka', reason, detail, uuid, receivedMs: options.now() },
    })
    const message = toDeadLetterMessage(letter)
    send(names.deadLetters, { record, message, batch })
  }

  for (const name of new Set(Object.values(names))) {
    const topic = createTopic({
      ...{ name, log, closing, linger },
      send: (partition, messages) =>
        client.send(name, partition, () =>
          encodeRecordSet(messages, { compression, nowMs: Date.now() }),
        ),
      ensure: () =>
        client.withAdmin((admin) =>
          ensureTopic(admin, name, { settings, log, pause: closing.pause }),
        ),
      onDelivered(messages) {
        for (const { batch } of messages) batch.arrived()
      },
      onRejected: (pending, fault) => deadLetter(name, pending, fault),
      onRetry: report.retried,
    })
    topics.set(name, topic)
  }

  return {
    send,
    setPartitions: (topic, count) => topics.get(topic)?.setPartitions(count),
    isHealthy: () => [...topics.values()].every((topic) => topic.isHealthy()),
    bytesMax: (topic) => topics.get(topic)?.bytesMax(),
    partitions: () =>
      Object.fromEntries(
        [...topics].flatMap(([name, topic]) => {
          const count = topic.partitions()
          return count === undefined ? [] : [[name, count]]
        }),
      ),
  }
}
