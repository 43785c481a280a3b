import { createRequire } from 'node:module'

/**
 * kafkajs 2.2.4 with two modules patched. The package is no longer maintained, so its defects stay
 * and the paths of its files do not change.
 */
export const kafkajs: typeof import('kafkajs') = loadPatched(createRequire(import.meta.url))

/**
 * A finished record set. It is the value of the only message of a send: kafkajs finds the leader,
 * and the patched request writes the set as it is.
 */
export type FinishedSet = {
  /**
   * The bytes of the set. `producerId` is -1 unless the producer is idempotent. Called once for each
   * request, before it is sent.
   */
  seal(producer: { id: Uint8Array; epoch: number } | undefined): Buffer
}

/** The value of a message as kafkajs' types want it. */
export const toValue = (set: FinishedSet) => set as unknown as Buffer

/** The patches change objects of kafkajs in place, so it does not matter who has loaded it before. */
function loadPatched(load: NodeJS.Require): typeof import('kafkajs') {
  const { requests } = load('kafkajs/src/protocol/requests') as { requests: { Produce: Versions } }
  requests.Produce = toProduceVersions(requests.Produce, load('kafkajs/src/protocol/encoder'))
  stopIdlePolling(
    (load('kafkajs/src/network/requestQueue') as { prototype: RequestQueue }).prototype,
  )
  return load('kafkajs')
}

type Encoder = {
  buf: Buffer
  buffer: Buffer
  writeInt16(value: number): Encoder
  writeInt32(value: number): Encoder
  writeString(text: string | null): Encoder
  writeBufferInternal(bytes: Uint8Array): void
}
type EncoderClass = new (initialBytes: number) => Encoder

type Versions = {
  versions: string[]
  protocol(one: { version: number }): (input: ProduceInput) => { request: object; response: object }
}

type ProduceInput = {
  acks: number
  timeout: number
  /** kafkajs' own 64-bit integer; -1 without an idempotent producer. */
  producerId?: number | { toString(): string }
  producerEpoch?: number
  topicData: { topic: string; partitions: { partition: number; messages: Message[] }[] }[]
}
type Message = { value: FinishedSet }

/**
 * The original encodes messages one by one, in several buffers each. The patched request takes
 * finished sets. Its answer is read by the original.
 */
function toProduceVersions(original: Versions, Encoder: EncoderClass): Versions {
  const { versions } = original
  return {
    versions,
    protocol: ({ version }) => {
      // Older versions have another format of records, without headers.
      if (version < 3) throw new Error('the broker is older than Kafka 0.11; update it')
      const toOriginal = original.protocol({ version })
      return (input) => {
        if (!hasFinishedSets(input)) return toOriginal(input)
        const { response } = toOriginal({ acks: -1, timeout: 0, topicData: [] })
        const encode = async () => encodeProduce(input, Encoder)
        const head = { apiKey: 0, apiVersion: version, apiName: 'Produce' }
        return { request: { ...head, expectResponse: () => true, encode }, response }
      }
    },
  }
}

const isFinished = (value: unknown) =>
  typeof value === 'object' && value !== null && 'seal' in value

/** False for a producer other than the sink's, for example one of a test. */
const hasFinishedSets = ({ topicData }: ProduceInput) =>
  topicData.every(({ partitions }) =>
    partitions.every(({ messages }) => messages.every(({ value }) => isFinished(value))),
  )

function encodeProduce(input: ProduceInput, Encoder: EncoderClass): Encoder {
  const { acks, timeout, topicData, producerId = -1, producerEpoch = 0 } = input
  const id = BigInt(producerId.toString())
  const producer = id < 0n ? undefined : { id: toInt64(id), epoch: producerEpoch }
  const topics = topicData.map(({ topic, partitions }) => ({
    topic,
    sets: partitions.map(({ partition, messages }) => {
      if (messages.length !== 1) throw new TypeError('a send takes one record set per partition')
      return { partition, bytes: messages[0]!.value.seal(producer) }
    }),
  }))
  let total = 64
  for (const { topic, sets } of topics)
    for (const { bytes } of sets) total += 3 * topic.length + 16 + bytes.length
  const encoder = new Encoder(total)
  encoder.writeString(null).writeInt16(acks).writeInt32(timeout).writeInt32(topics.length)
  for (const { topic, sets } of topics) {
    encoder.writeString(topic).writeInt32(sets.length)
    for (const { partition, bytes } of sets) {
      encoder.writeInt32(partition).writeInt32(bytes.length)
      encoder.writeBufferInternal(bytes)
    }
  }
  return encoder
}

function toInt64(value: bigint): Uint8Array {
  const bytes = Buffer.alloc(8)
  bytes.writeBigInt64BE(value)
  return bytes
}

type RequestQueue = { pending: readonly unknown[]; scheduleCheckPendingRequests(): void }

/**
 * After its first answer the original checks for pending requests a thousand times a second for ever,
 * with a negative timer delay, which Bun warns of. The patch checks only while requests are pending.
 */
function stopIdlePolling(queue: RequestQueue): void {
  const schedule = queue.scheduleCheckPendingRequests
  queue.scheduleCheckPendingRequests = function (this: RequestQueue) {
    if (this.pending.length > 0) schedule.call(this)
  }
}
