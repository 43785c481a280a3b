import { type Backoff, toBackoffMs } from '../../core/async.ts'
import type { Log } from '../../core/log.ts'
import { type SendFault, toSendFault } from './fault.ts'
import { type KafkaMessage, toValueBytes } from './message.ts'
import {
  type Closing,
  createPartitionQueue,
  type Linger,
  type PartitionQueue,
  type PartitionQueueOptions,
  type PendingMessage,
} from './partition-queue.ts'
import type { TopicFacts } from './topics.ts'

/** A topic with one queue per partition. Messages wait here, in order, until its facts are known. */
export type Topic = {
  enqueue(pending: PendingMessage): void
  /** Later messages are partitioned by the count that the producer sees. */
  setPartitions(count: number): void
  isHealthy(): boolean
  /** The topic's limit for a record set. Undefined until the brokers have answered. */
  bytesMax(): number | undefined
  /** Undefined until the brokers have answered. */
  partitions(): number | undefined
}

export type TopicOptions = {
  name: string
  linger: Linger
  closing: Closing
  log: Log
  send(partition: number, messages: readonly KafkaMessage[]): Promise<SendFault | undefined>
  /** Finds or creates the topic. Rejects while the brokers do not allow it. */
  ensure(): Promise<TopicFacts>
  onDelivered(messages: readonly PendingMessage[]): void
  onRejected(pending: PendingMessage, fault: SendFault): void
  /** Called before a send or a request for the topic's facts is retried. */
  onRetry(reason: string, message: string): void
}

/** The least that a record and the header of its set take beside key and value. */
const frameBytesMin = 68

export function createTopic(options: TopicOptions): Topic {
  const { name, log } = options
  const failing = createFailingPartitions()
  const find = createFinder(options, failing, onFound)
  const takeTurn = createTurns(failing)
  const queues: PartitionQueue[] = []
  let waiting: PendingMessage[] = []
  let facts: TopicFacts | undefined

  function onFound(found: TopicFacts): void {
    facts = found
    const held = waiting
    waiting = []
    for (const pending of held) enqueue(pending)
  }

  function enqueue(pending: PendingMessage): void {
    if (!facts) {
      waiting.push(pending)
      return
    }
    const { message } = pending
    const bytes = toValueBytes(message) + toKeyBytes(message) + frameBytesMin
    if (bytes > facts.bytesMax) {
      const detail = `the message takes ${bytes} bytes; topic ${name} accepts ${facts.bytesMax}`
      options.onRejected(pending, { kind: 'too_large', reason: 'too_large', message: detail })
      return
    }
    const partition = message.hasKey
      ? toKeyPartition(message, facts.partitions)
      : takeTurn(facts.partitions)
    queues[partition] ??= createPartitionQueue(toPartitionQueueOptions(partition))
    queues[partition].add(pending)
  }

  function toPartitionQueueOptions(partition: number): PartitionQueueOptions {
    return {
      linger: options.linger,
      bytesMax: () => facts!.bytesMax,
      async send(pending) {
        const fault = await options.send(
          partition,
          pending.map(({ message }) => message),
        )
        if (!fault) failing.end(partition)
        return fault
      },
      async canRetry(fault, attempt) {
        failing.failed(partition, attempt)
        options.onRetry(fault.reason, `${name}/${partition}: ${fault.message}`)
        if (fault.kind === 'no_topic') await find()
        await options.closing.pause(toPauseMs(attempt))
        return partition < facts!.partitions
      },
      onGone(messages) {
        failing.end(partition)
        for (const pending of messages) enqueue(pending)
      },
      onDelivered: options.onDelivered,
      onRejected: options.onRejected,
    }
  }

  function setPartitions(count: number): void {
    if (!facts || facts.partitions === count) return
    log.info({ topic: name, from: facts.partitions, to: count }, 'kafka partition count changed')
    facts = { ...facts, partitions: count }
  }

  void find()
  return {
    ...{ enqueue, setPartitions, isHealthy: failing.isEmpty },
    bytesMax: () => facts?.bytesMax,
    partitions: () => facts?.partitions,
  }
}

const backoff: Backoff = { firstMs: 100, maxMs: 5000 }
const toPauseMs = (attempt: number) => toBackoffMs(attempt, backoff, Math.random)

/** The partitions that accept no messages now, or the whole topic. */
type FailingPartitions = {
  has(partition: number): boolean
  isEmpty(): boolean
  /** Ignores a first failed attempt: most faults pass at the second. */
  failed(place: number | 'topic', attempt: number): void
  end(place: number | 'topic'): void
}

function createFailingPartitions(): FailingPartitions {
  const places = new Set<number | 'topic'>()
  return {
    has: (partition) => places.has(partition),
    isEmpty: () => places.size === 0,
    failed(place, attempt) {
      if (attempt >= 2) places.add(place)
    },
    end(place) {
      places.delete(place)
    },
  }
}

/** Messages without a key go round robin over the partitions that do not fail. */
function createTurns(failing: FailingPartitions): (partitions: number) => number {
  let turn = 0
  return (partitions) => {
    for (let tries = 0; tries < partitions; tries += 1) {
      turn += 1
      if (!failing.has(turn % partitions)) break
    }
    return turn % partitions
  }
}

/** Retries until the topic's facts are known or the sink closes. Concurrent callers share one search. */
function createFinder(
  { name, ensure, closing, onRetry }: TopicOptions,
  failing: FailingPartitions,
  onFound: (facts: TopicFacts) => void,
): () => Promise<void> {
  let finding: Promise<void> | undefined

  async function find(): Promise<void> {
    for (let attempt = 1; !closing.signal.aborted; attempt += 1) {
      try {
        onFound(await ensure())
        failing.end('topic')
        return
      } catch (error) {
        const { reason, message } = toSendFault(error)
        failing.failed('topic', attempt)
        onRetry(reason, `${name}: ${message}`)
        await closing.pause(toPauseMs(attempt))
      }
    }
  }
  return () => {
    finding ??= find().finally(() => {
      finding = undefined
    })
    return finding
  }
}

/** The partition that the default partitioner of a Java client chooses for the same key bytes. */
export function toPartition(key: Uint8Array, partitions: number): number {
  return (murmur2(key) & 0x7fffffff) % partitions
}

const toKeyBytes = ({ fields: { keyAt, keyEnd }, hasKey }: KafkaMessage) =>
  hasKey ? keyEnd - keyAt : 0

const toKeyPartition = ({ fields }: KafkaMessage, partitions: number) =>
  (murmur2(fields.bytes, fields.keyAt, fields.keyEnd) & 0x7fffffff) % partitions

/**
 * MurmurHash2, 32 bits, with Kafka's seed, of the bytes from `start` to `end`. Source:
 * org.apache.kafka.common.utils.Utils.murmur2.
 */
export function murmur2(data: Uint8Array, start = 0, end = data.length): number {
  const mixer = 0x5bd1e995
  const length = end - start
  const tail = start + (length & ~3)
  let hash = 0x9747b28c ^ length
  for (let at = start; at < tail; at += 4) {
    let word = data[at]! | (data[at + 1]! << 8) | (data[at + 2]! << 16) | (data[at + 3]! << 24)
    word = Math.imul(word, mixer)
    word = Math.imul(word ^ (word >>> 24), mixer)
    hash = Math.imul(hash, mixer) ^ word
  }
  if (tail < end) {
    for (let at = end - 1; at >= tail; at -= 1) hash ^= data[at]! << (8 * (at - tail))
    hash = Math.imul(hash, mixer)
  }
  hash = Math.imul(hash ^ (hash >>> 13), mixer)
  return hash ^ (hash >>> 15)
}
