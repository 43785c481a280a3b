import type { Message } from 'kafkajs'
import type { Log } from '../../core/log.ts'
import type { Closing } from './delivery.ts'
import { type SendFault, toSendFault } from './fault.ts'
import { toPartition } from './partition.ts'
import {
  createPartitionQueue,
  type PartitionQueue,
  type PartitionQueueOptions,
  type PendingMessage,
} from './partition-queue.ts'
import type { TopicFacts } from './topics.ts'
import { createTrouble, type Trouble, toPauseMs } from './trouble.ts'

/** A topic with a lane per partition. What comes before its facts are known waits here, in order. */
export type Topic = {
  enqueue(parcel: PendingMessage): void
  /** Takes note of the count that a producer sees: records from now on go by it. */
  setPartitions(count: number): void
  isHealthy(): boolean
}

export type TopicParts = {
  name: string
  lingerMs: number
  closing: Closing
  log: Log
  send(partition: number, messages: Message[]): Promise<SendFault | undefined>
  /** Finds or makes the topic; rejects while the brokers do not let it. */
  ensure(): Promise<TopicFacts>
  onDelivered(parcels: readonly PendingMessage[]): void
  onRefused(parcel: PendingMessage, fault: SendFault): void
  /** A send, or a question about the topic, that will be made again. */
  onRetry(reason: string, message: string): void
}

/** What a record and the head of its set take beside key and value, at the least. */
const frameBytesMin = 68

export function createTopic(parts: TopicParts): Topic {
  const { name, log } = parts
  const trouble = createTrouble()
  const find = createFinder(parts, trouble, onFound)
  const takeTurn = createTurns(trouble)
  const lanes: PartitionQueue[] = []
  let waiting: PendingMessage[] = []
  let facts: TopicFacts | undefined

  function onFound(found: TopicFacts): void {
    facts = found
    const held = waiting
    waiting = []
    for (const parcel of held) enqueue(parcel)
  }

  function enqueue(parcel: PendingMessage): void {
    if (!facts) {
      waiting.push(parcel)
      return
    }
    const { key, value } = parcel.message
    const bytes = value.length + (key?.length ?? 0) + frameBytesMin
    if (bytes > facts.bytesMax) {
      const message = `${bytes} bytes, and ${name} takes ${facts.bytesMax}`
      parts.onRefused(parcel, { kind: 'too_large', reason: 'too_large', message })
      return
    }
    const partition = key ? toPartition(key, facts.partitions) : takeTurn(facts.partitions)
    lanes[partition] ??= createPartitionQueue(toPartitionQueueOptions(partition))
    lanes[partition].add(parcel)
  }

  function toPartitionQueueOptions(partition: number): PartitionQueueOptions {
    return {
      lingerMs: parts.lingerMs,
      bytesMax: () => facts!.bytesMax,
      async send(parcels) {
        const messages = parcels.map(({ message }) => ({ ...message, partition }))
        const fault = await parts.send(partition, messages)
        if (!fault) trouble.end(partition)
        return fault
      },
      async canRetry(fault, attempt) {
        trouble.failed(partition, attempt)
        parts.onRetry(fault.reason, `${name}/${partition}: ${fault.message}`)
        if (fault.kind === 'no_topic') await find()
        await parts.closing.pause(toPauseMs(attempt))
        return partition < facts!.partitions
      },
      onGone(parcels) {
        trouble.end(partition)
        for (const parcel of parcels) enqueue(parcel)
      },
      onDelivered: parts.onDelivered,
      onRefused: parts.onRefused,
    }
  }

  function setPartitions(count: number): void {
    if (!facts || facts.partitions === count) return
    log.info({ topic: name, from: facts.partitions, to: count }, 'kafka partitions changed')
    facts = { ...facts, partitions: count }
  }

  void find()
  return { enqueue, setPartitions, isHealthy: trouble.isOver }
}

/** Partitions take turns at records without a key; one that takes nothing just now is passed over. */
function createTurns(trouble: Trouble): (partitions: number) => number {
  let turn = 0
  return (partitions) => {
    for (let tries = 0; tries < partitions; tries += 1) {
      turn += 1
      if (!trouble.has(turn % partitions)) break
    }
    return turn % partitions
  }
}

/** Asks for the topic's facts until it is told, or the sink closes; once for all who ask meanwhile. */
function createFinder(
  { name, ensure, closing, onRetry }: TopicParts,
  trouble: Trouble,
  onFound: (facts: TopicFacts) => void,
): () => Promise<void> {
  let finding: Promise<void> | undefined

  async function ask(): Promise<void> {
    for (let attempt = 1; !closing.signal.aborted; attempt += 1) {
      try {
        onFound(await ensure())
        trouble.end('topic')
        return
      } catch (error) {
        const { reason, message } = toSendFault(error)
        trouble.failed('topic', attempt)
        onRetry(reason, `${name}: ${message}`)
        await closing.pause(toPauseMs(attempt))
      }
    }
  }
  return () => {
    finding ??= ask().finally(() => {
      finding = undefined
    })
    return finding
  }
}
