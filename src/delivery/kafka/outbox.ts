import type { Clock } from '../../core/clock.ts'
import type { Log } from '../../core/log.ts'
import type { SinkReport } from '../report.ts'
import type { KafkaClient } from './client.ts'
import { toDeadLetter } from './dead-letter.ts'
import type { Closing } from './delivery.ts'
import type { SendFault } from './fault.ts'
import { toBytesMax } from './message.ts'
import type { PendingMessage } from './partition-queue.ts'
import type { KafkaSettings } from './settings.ts'
import { createTopic, type Topic } from './topic.ts'
import { ensureTopic } from './topics.ts'

/** All topics, and behind them the dead letter topic, which takes what they never will. */
export type Outbox = {
  send(topic: string, parcel: Omit<PendingMessage, 'bytesMax'>): void
  setPartitions(topic: string, count: number): void
  isHealthy(): boolean
}

export type OutboxParts = {
  settings: KafkaSettings
  client: KafkaClient
  closing: Closing
  log: Log
  report: SinkReport
  now: Clock
}

export function createOutbox(parts: OutboxParts): Outbox {
  const { settings, closing, log, report } = parts
  const deadLetters = settings.topics.deadLetters
  const topics = new Map<string, Topic>()

  function send(topic: string, parcel: Omit<PendingMessage, 'bytesMax'>): void {
    topics.get(topic)!.enqueue({ ...parcel, bytesMax: toBytesMax(parcel.message) })
  }

  function bury(topic: string, { record, delivery }: PendingMessage, fault: SendFault): void {
    const reason = fault.kind === 'too_large' ? 'record_too_large' : 'record_refused'
    const { message: detail } = fault
    if (topic === deadLetters) {
      log.error({ topic, uuid: record.head().uuid, detail }, 'kafka will not take a dead letter')
      delivery.arrived()
      return
    }
    report.deadLettered(record, reason)
    const message = toDeadLetter(record, { reason, detail, nowMs: parts.now() })
    send(deadLetters, { record, message, delivery })
  }

  for (const name of new Set(Object.values(settings.topics))) {
    const topic = createTopic({
      ...{ name, log, closing, lingerMs: settings.lingerMs },
      send: (partition, messages) => parts.client.send(name, partition, messages),
      ensure: () =>
        parts.client.withAdmin((admin) =>
          ensureTopic(admin, name, { settings, log, pause: closing.pause }),
        ),
      onDelivered(parcels) {
        for (const { delivery } of parcels) delivery.arrived()
      },
      onRefused: (parcel, fault) => bury(name, parcel, fault),
      onRetry: report.retried,
    })
    topics.set(name, topic)
  }

  return {
    send,
    setPartitions: (topic, count) => topics.get(topic)?.setPartitions(count),
    isHealthy: () => [...topics.values()].every((topic) => topic.isHealthy()),
  }
}
