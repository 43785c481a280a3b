import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import type { KafkaClient } from './kafka-client.ts'
import { type DeadLetterReason, toDeadLetter } from './kafka-dead-letter.ts'
import type { Closing } from './kafka-delivery.ts'
import type { SendFault } from './kafka-fault.ts'
import type { Parcel } from './kafka-lane.ts'
import { toBytesMax } from './kafka-message.ts'
import type { KafkaSettings } from './kafka-settings.ts'
import { createTopic, type Topic } from './kafka-topic.ts'
import { ensureTopic } from './kafka-topics.ts'

/** All topics, and behind them the dead letter topic, which takes what they never will. */
export type Outbox = {
  send(topic: string, parcel: Omit<Parcel, 'bytesMax'>): void
  setPartitions(topic: string, count: number): void
  isHealthy(): boolean
  counters(): KafkaCounters
}

export type KafkaCounters = {
  /** Records that the brokers confirmed, those in the dead letter topic included. */
  shipped: number
  /** Sends that were tried again. */
  retries: number
  /** Records that went to the dead letter topic instead of their own. */
  deadLettered: Record<DeadLetterReason, number>
  /** Dead letters that their topic refused as well; the log names them. */
  discarded: number
}

export type OutboxParts = {
  settings: KafkaSettings
  client: KafkaClient
  closing: Closing
  log: Log
  now: Clock
}

export function createOutbox(parts: OutboxParts): Outbox {
  const { settings, closing, log } = parts
  const deadLetters = settings.topics.deadLetters
  const deadLettered = { record_too_large: 0, record_refused: 0 }
  const topics = new Map<string, Topic>()
  let shipped = 0
  let discarded = 0

  function send(topic: string, parcel: Omit<Parcel, 'bytesMax'>): void {
    topics.get(topic)!.enqueue({ ...parcel, bytesMax: toBytesMax(parcel.message) })
  }

  function bury(topic: string, { record, delivery }: Parcel, fault: SendFault): void {
    const reason = fault.kind === 'too_large' ? 'record_too_large' : 'record_refused'
    const { reason: detail } = fault
    log.error({ topic, uuid: record.head().uuid, reason, detail }, 'kafka will not take a record')
    if (topic === deadLetters) {
      discarded += 1
      delivery.arrived()
      return
    }
    deadLettered[reason] += 1
    const message = toDeadLetter(record, { reason, detail, nowMs: parts.now() })
    send(deadLetters, { record, message, delivery })
  }

  for (const name of new Set(Object.values(settings.topics))) {
    const topic = createTopic({
      ...{ name, log, closing, lingerMs: settings.lingerMs },
      send: (partition, messages) => parts.client.send(name, partition, messages),
      ensure: () => parts.client.withAdmin((admin) => ensureTopic(admin, name, { settings, log })),
      onDelivered(parcels) {
        shipped += parcels.length
        for (const { delivery } of parcels) delivery.arrived()
      },
      onRefused: (parcel, fault) => bury(name, parcel, fault),
    })
    topics.set(name, topic)
  }

  const all = () => [...topics.values()]
  return {
    send,
    setPartitions: (topic, count) => topics.get(topic)?.setPartitions(count),
    isHealthy: () => all().every((topic) => topic.isHealthy()),
    counters: () => ({
      ...{ shipped, discarded, deadLettered: { ...deadLettered } },
      retries: all().reduce((sum, topic) => sum + topic.retries(), 0),
    }),
  }
}
