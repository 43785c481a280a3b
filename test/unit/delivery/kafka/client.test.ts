import { describe, expect, test } from 'bun:test'
import { createKafkaClient, type ProducerId } from '../../../../src/delivery/kafka/client.ts'
import type { Connection, UnsentSet } from '../../../../src/delivery/kafka/connection.ts'
import { makeSettings } from './fixtures.ts'

type Fake = Connection & { sends: number; closed: boolean; sealed: Buffer[] }

/** A client whose connections answer as the test says, and the connections that it opened. */
function makeClient(
  answer: (connection: number) => Promise<boolean>,
  producers: ProducerId[] = [],
  onSend: (set: UnsentSet) => void = () => {},
) {
  const opened: Fake[] = []
  const settings = makeSettings([], 't')
  const options = { settings, ca: undefined, metadataMsMax: 1000, onPartitions() {} }
  const client = createKafkaClient(options, () => {
    const index = opened.length
    const fake: Fake = {
      ...{ sends: 0, closed: false, sealed: [] },
      send(_topic, _partition, set) {
        fake.sends += 1
        onSend(set)
        fake.sealed.push(Buffer.from(set.seal(producers[index])))
        return answer(index)
      },
      withAdmin: () => Promise.reject(new Error('not asked for')),
      async close() {
        fake.closed = true
      },
    }
    opened.push(fake)
    return fake
  })
  const encode = () => ({ bytes: Buffer.alloc(61), count: 3 })
  return { client, opened, send: () => client.send('events', 0, encode) }
}

function errorOf(name: string, fields: object = {}): Error {
  return Object.assign(new Error(`${name} happened`), { name, ...fields })
}

describe('a client', () => {
  test('succeeds only when the broker has confirmed the partition', async () => {
    expect(await makeClient(async () => true).send()).toBeUndefined()
    expect(await makeClient(async () => false).send()).toMatchObject({ kind: 'no_partition' })
  })

  test.each([
    ['KafkaJSProtocolError', { type: 'MESSAGE_TOO_LARGE' }, 'too_large'],
    ['KafkaJSProtocolError', { type: 'INVALID_RECORD' }, 'rejected'],
    ['KafkaJSProtocolError', { type: 'UNKNOWN_TOPIC_OR_PARTITION' }, 'no_topic'],
    ['KafkaJSProtocolError', { type: 'NOT_ENOUGH_REPLICAS' }, 'retry'],
    ['KafkaJSConnectionError', {}, 'retry'],
    [
      'KafkaJSNumberOfRetriesExceeded',
      { cause: errorOf('KafkaJSProtocolError', { type: 'MESSAGE_TOO_LARGE' }) },
      'too_large',
    ],
  ])('reports %s %j as a fault of kind %s and keeps the connection', async (name, fields, kind) => {
    const { send, opened } = makeClient(() => Promise.reject(errorOf(name, fields)))
    expect(await send()).toMatchObject({ kind } as never)
    await send()
    expect(opened).toHaveLength(1)
  })

  test.each([['KafkaJSRequestTimeoutError'], ['KafkaJSLockTimeout'], ['TypeError']])(
    'opens another connection after %s',
    async (name) => {
      const { send, opened } = makeClient((connection) =>
        connection === 0 ? Promise.reject(errorOf(name)) : Promise.resolve(true),
      )
      expect(await send()).toMatchObject({ kind: 'retry' })
      expect(await send()).toBeUndefined()
      expect(opened.map(({ sends, closed }) => [sends, closed])).toEqual([
        [1, true],
        [1, false],
      ])
    },
  )

  test('counts one fault for the sets of one request', async () => {
    const error = errorOf('KafkaJSConnectionError')
    const { send, opened } = makeClient(() => Promise.reject(error))
    for (let tries = 0; tries < 12; tries += 1) await send()
    expect(opened).toHaveLength(1)
  })

  test('replaces a connection after five faults in a row', async () => {
    const { send, opened } = makeClient(() => Promise.reject(errorOf('KafkaJSConnectionError')))
    for (let tries = 0; tries < 12; tries += 1) await send()
    expect(opened.map(({ sends, closed }) => [sends, closed])).toEqual([
      [5, true],
      [5, true],
      [2, false],
    ])
  })

  test('lets a send finish on a connection that another send has retired', async () => {
    const slow = Promise.withResolvers<boolean>()
    const answers = [slow.promise, Promise.reject(errorOf('KafkaJSRequestTimeoutError'))]
    const { send, opened } = makeClient(() => answers.shift() ?? Promise.resolve(true))
    const first = send()
    await send()
    expect(opened[0]!.closed).toBe(false)
    slow.resolve(true)
    expect(await first).toBeUndefined()
    expect(opened[0]!.closed).toBe(true)
  })

  test('does not send a request that kafkajs holds after the send has ended', async () => {
    const seals: UnsentSet['seal'][] = []
    const bad = Promise.reject(errorOf('KafkaJSRequestTimeoutError'))
    const { send } = makeClient(
      () => bad,
      [],
      (set) => seals.push(set.seal),
    )
    await send()
    expect(() => seals[0]!(undefined)).toThrow('ended')
  })

  test('closes every connection, also those with a send in flight', async () => {
    const answers = [Promise.withResolvers<boolean>().promise]
    const bad = Promise.reject(errorOf('KafkaJSRequestTimeoutError'))
    const { client, send, opened } = makeClient(() => answers.shift() ?? bad)
    void send()
    await send()
    await send()
    await client.close()
    expect(opened.map(({ closed }) => closed)).toEqual([true, true])
  })

  test('sends nothing after close', async () => {
    const { client, send, opened } = makeClient(async () => true)
    await send()
    await client.close()
    expect(opened[0]!.closed).toBe(true)
    expect(await send()).toMatchObject({ kind: 'retry' })
    expect(opened).toHaveLength(1)
  })
})

const toProducer = (digit: number): ProducerId => ({ id: Buffer.alloc(8, digit), epoch: 0 })
/** Producer and sequence of each set that a connection sealed. */
const stampsOf = ({ sealed }: Pick<Fake, 'sealed'>) =>
  sealed.map((bytes) => [bytes[43], bytes.readInt32BE(53)] as const)

const noProducer = [255, -1] as const

describe('an idempotent client', () => {
  test('numbers the records of a partition, and a retried set as before', async () => {
    const answers = [true, false, true, true]
    const answer = async () => {
      if (answers.shift()) return true
      throw errorOf('KafkaJSConnectionClosedError')
    }
    const { send, opened } = makeClient(answer, [toProducer(1)])
    for (let sends = 0; sends < 4; sends += 1) await send()
    expect(stampsOf(opened[0]!)).toEqual([
      [1, 0],
      [1, 3],
      [1, 3],
      [1, 6],
    ])
  })

  test('keeps its identity when the connection is replaced', async () => {
    const answer = async (connection: number) => {
      if (connection > 0) return true
      throw errorOf('KafkaJSRequestTimeoutError')
    }
    const { send, opened } = makeClient(answer, [toProducer(1), toProducer(2)])
    for (let sends = 0; sends < 3; sends += 1) await send()
    expect(opened.flatMap(stampsOf)).toEqual([
      [1, 0],
      [1, 0],
      [1, 3],
    ])
  })

  test.each([
    'OUT_OF_ORDER_SEQUENCE_NUMBER',
    'DUPLICATE_SEQUENCE_NUMBER',
    'INVALID_PRODUCER_EPOCH',
    'UNKNOWN_PRODUCER_ID',
  ])('takes another identity after %s', async (type) => {
    let sends = 0
    const answer = async () => {
      sends += 1
      if (sends !== 2) return true
      throw errorOf('KafkaJSProtocolError', { type })
    }
    const { send, opened } = makeClient(answer, [toProducer(1), toProducer(2)])
    for (let count = 0; count < 4; count += 1) await send()
    expect(opened.flatMap(stampsOf)).toEqual([
      [1, 0],
      [1, 3],
      [2, 0],
      [2, 3],
    ])
  })

  /** A client whose sends wait: the test seals and answers each of them. */
  function makeHeld() {
    type Held = { seal(): ReturnType<typeof stampsOf>[number]; refuse(): void; confirm(): void }
    const held: Held[] = []
    let opened = 0
    const options = { settings: makeSettings([], 't'), ca: undefined, metadataMsMax: 1000 }
    const client = createKafkaClient({ ...options, onPartitions() {} }, () => {
      opened += 1
      const producer = toProducer(opened)
      return {
        send(_topic, _partition, set) {
          const { promise, resolve, reject } = Promise.withResolvers<boolean>()
          const type = 'UNKNOWN_PRODUCER_ID'
          held.push({
            seal: () => stampsOf({ sealed: [Buffer.from(set.seal(producer))] })[0]!,
            refuse: () => reject(errorOf('KafkaJSProtocolError', { type })),
            confirm: () => resolve(true),
          })
          return promise
        },
        withAdmin: () => Promise.reject(new Error('not asked for')),
        async close() {},
      }
    })
    const encode = () => ({ bytes: Buffer.alloc(61), count: 3 })
    const send = (partition: number) => {
      const sending = client.send('events', partition, encode)
      return { sending, ...held.at(-1)! }
    }
    return { send }
  }

  test('does not take an identity again that two partitions have lost', async () => {
    const { send } = makeHeld()
    const lost = [send(0), send(1)]
    const later = send(2)
    for (const { seal } of lost) expect(seal()).toEqual([1, 0])
    for (const { refuse } of lost) refuse()
    await Promise.all(lost.map(({ sending }) => sending))
    expect(later.seal()).toEqual(noProducer)
    expect(send(0).seal()).toEqual([2, 0])
  })

  test('keeps an identity that it took after the loss of an earlier one', async () => {
    const { send } = makeHeld()
    const [first, late] = [send(0), send(1)]
    for (const { seal } of [first, late]) expect(seal()).toEqual([1, 0])
    first.refuse()
    await first.sending
    const next = send(0)
    expect(next.seal()).toEqual([2, 0])
    late.refuse()
    await late.sending
    next.confirm()
    await next.sending
    expect(send(0).seal()).toEqual([2, 3])
  })
})
