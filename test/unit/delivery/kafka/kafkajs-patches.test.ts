import { describe, expect, test } from 'bun:test'
import { createRequire } from 'node:module'
import { type FinishedSet, kafkajs } from '../../../../src/delivery/kafka/kafkajs-patches.ts'

const load = createRequire(import.meta.url)
const loadSource = (file: string) => load(`kafkajs/src/${file}`)

/** The request that kafkajs sends for one finished set. */
async function encodeRequest(set: Pick<FinishedSet, 'seal'>, fields: object = {}): Promise<Buffer> {
  const { protocol } = loadSource('protocol/requests').requests.Produce
  const partitions = [{ partition: 7, messages: [{ value: set }] }]
  const topicData = [{ topic: 'events', partitions }]
  const { request } = protocol({ version: 7 })({ acks: -1, timeout: 5000, topicData, ...fields })
  expect(request).toMatchObject({ apiKey: 0, apiVersion: 7, apiName: 'Produce' })
  expect(request.expectResponse()).toBe(true)
  return (await request.encode()).buffer
}

describe('patched kafkajs', () => {
  test('is the version that the patches are for', () => {
    expect(load('kafkajs/package.json').version).toBe('2.2.4')
    expect(kafkajs.Kafka).toBe(load('kafkajs').Kafka)
  })

  test('sends a finished set as it is, in the request that the protocol describes', async () => {
    const bytes = Buffer.from('the set')
    const decoder = new (loadSource('protocol/decoder'))(await encodeRequest({ seal: () => bytes }))
    expect(decoder.readString()).toBeNull() // No transaction.
    expect(decoder.readInt16()).toBe(-1)
    expect(decoder.readInt32()).toBe(5000)
    expect(decoder.readInt32()).toBe(1)
    expect(decoder.readString()).toBe('events')
    expect(decoder.readInt32()).toBe(1)
    expect(decoder.readInt32()).toBe(7)
    expect(decoder.readInt32()).toBe(bytes.length)
    expect(decoder.readAll()).toEqual(bytes)
  })

  test('hands the producer id to the set only when kafkajs has one', async () => {
    const seen: unknown[] = []
    const seal: FinishedSet['seal'] = (producer) => {
      seen.push(producer)
      return Buffer.alloc(1)
    }
    const Long = loadSource('utils/long')
    await encodeRequest({ seal }, { producerId: -1, producerEpoch: 0 })
    await encodeRequest({ seal }, { producerId: Long.fromValue('4294967298'), producerEpoch: 3 })
    expect(seen).toEqual([undefined, { id: Buffer.from('0000000100000002', 'hex'), epoch: 3 }])
  })

  test('gives each set its own part of the answer', async () => {
    const seen: [number, string | undefined][] = []
    const partitions = [0, 1, 2].map((partition) => {
      const answered = (error?: Error & { type?: string }) => seen.push([partition, error?.type])
      return { partition, messages: [{ value: { seal: () => Buffer.alloc(1), answered } }] }
    })
    const input = { acks: -1, timeout: 1, topicData: [{ topic: 't', partitions }] }
    const { response } = loadSource('protocol/requests').requests.Produce.protocol({ version: 7 })(
      input,
    )
    const codes = [0, 10, 10] // 10: MESSAGE_TOO_LARGE
    const answer = {
      topics: [
        {
          topicName: 't',
          partitions: codes.map((errorCode, partition) => ({ partition, errorCode })),
        },
      ],
    }
    await expect(response.parse(answer)).rejects.toMatchObject({ type: 'MESSAGE_TOO_LARGE' })
    expect(seen).toEqual([
      [0, undefined],
      [1, 'MESSAGE_TOO_LARGE'],
      [2, 'MESSAGE_TOO_LARGE'],
    ])
  })

  test('leaves the messages of other producers to kafkajs', async () => {
    const messages = [{ key: null, value: Buffer.from('v') }]
    const input = {
      ...{ acks: -1, timeout: 5000 },
      topicData: [{ topic: 't', partitions: [{ partition: 0, firstSequence: 0, messages }] }],
    }
    const encode = async (versions: { protocol: CallableFunction }) => {
      const { request } = versions.protocol({ version: 7 })(input)
      return (await request.encode()).buffer.length
    }
    const patched = await encode(loadSource('protocol/requests').requests.Produce)
    expect(patched).toBe(await encode(loadSource('protocol/requests/produce')))
  })

  test('refuses a broker whose records have no headers', () => {
    const { protocol } = loadSource('protocol/requests').requests.Produce
    expect(() => protocol({ version: 2 })).toThrow('older than Kafka 0.11')
  })

  test('sets no timer while no requests are pending', () => {
    const RequestQueue = loadSource('network/requestQueue')
    const queue = new RequestQueue({ logger: { debug() {} } })
    queue.checkPendingRequests()
    expect(queue.throttleCheckTimeoutId).toBeNull()
    queue.pending.push({})
    queue.throttledUntil = Date.now() + 60_000
    queue.checkPendingRequests()
    expect(queue.throttleCheckTimeoutId).not.toBeNull()
    queue.destroy()
  })
})
