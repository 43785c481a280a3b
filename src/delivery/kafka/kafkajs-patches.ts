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
  /** The broker's answer for this set; an error of kafkajs when it was not stored. */
  answered(error: Error | undefined): void
}

/** The value of a message as kafkajs' types want it. */
export const toValue = (set: FinishedSet) => set as unknown as Buffer

/** The patches change objects of kafkajs in place, so it does not matter who has loaded it before. */
function loadPatched(load: NodeJS.Require): typeof import('kafkajs') {
  const { requests } = load('kafkajs/src/protocol/requests') as { requests: { Produce: Versions } }
  requests.Produce = toProduceVersions(requests.Produce, {
    Encoder: load('kafkajs/src/protocol/encoder') as EncoderClass,
    createErrorFromCode: load('kafkajs/src/protocol/error').createErrorFromCode,
  })
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
  protocol(one: { version: number }): (input: ProduceInput) => {
    request: object
    response: { decode(bytes: Buffer): Promise<Answer>; parse(answer: Answer): Promise<Answer> }
  }
}

type Answer = {
  topics: { topicName: string; partitions: { partition: number; errorCode: number }[] }[]
}

type Tools = { Encoder: EncoderClass; createErrorFromCode(code: number): Error }

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
 * finished sets. Its answer is read by the original, which fails the whole request for one partition;
 * so each set gets its own part of the answer before.
 */
function toProduceVersions(original: Versions, tools: Tools): Versions {
  const { versions } = original
  return {
    versions,
    protocol: ({ version }) => {
      // Older versions have another format of records, without headers.
      if (version < 3) throw new Error('the broker is older than Kafka 0.11; update it')
      const toOriginal = original.protocol({ version })
      return (input) => {
        if (!hasFinishedSets(input)) return toOriginal(input)
        const { decode, parse } = toOriginal({ acks: -1, timeout: 0, topicData: [] }).response
        const response = {
          decode,
          parse(answer: Answer) {
            tellSets(input, answer, tools)
            return parse(answer)
          },
        }
        const encode = async () => encodeProduce(input, tools)
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

function tellSets({ topicData }: ProduceInput, { topics }: Answer, tools: Tools): void {
  // One error per code: the client counts distinct faults.
  const errors = new Map<number, Error>()
  const toError = (code: number) => {
    const error = errors.get(code) ?? tools.createErrorFromCode(code)
    errors.set(code, error)
    return error
  }
  const setOf = (topic: string, partition: number) =>
    topicData
      .find((one) => one.topic === topic)
      ?.partitions.find((one) => one.partition === partition)?.messages[0]?.value
  for (const { topicName, partitions } of topics)
    for (const { partition, errorCode } of partitions)
      setOf(topicName, partition)?.answered(errorCode === 0 ? undefined : toError(errorCode))
}

function encodeProduce(input: ProduceInput, { Encoder }: Tools): Encoder {
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
