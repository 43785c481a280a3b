import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import type { SendFault } from '../../../../src/delivery/kafka/fault.ts'
import { toMessage } from '../../../../src/delivery/kafka/message.ts'
import {
  createLinger,
  createPartitionQueue,
  createPendingBatch,
  type PendingMessage,
} from '../../../../src/delivery/kafka/partition-queue.ts'
import { makeFault, makeRecord } from './fixtures.ts'

const retry = makeFault('retry')
const tooLarge = makeFault('too_large')

type Answer = (offsets: number[]) => SendFault | undefined

/** A queue whose broker answers as the test says, and the outcome of the records. */
function makeQueue(answer: Answer, { bytesMax = 2 ** 20, isThere = true } = {}) {
  const sends: number[][] = []
  const rejected: number[] = []
  const gone: number[] = []
  let inflight = 0
  let inflightMax = 0
  const toOffsets = (messages: readonly PendingMessage[]) =>
    messages.map(({ record }) => record.offset)
  const queue = createPartitionQueue({
    linger: createLinger(1),
    bytesMax: () => bytesMax,
    async send(messages) {
      inflight += 1
      inflightMax = Math.max(inflightMax, inflight)
      await Promise.resolve()
      inflight -= 1
      sends.push(toOffsets(messages))
      return answer(toOffsets(messages))
    },
    onDelivered(messages) {
      for (const { batch } of messages) batch.arrived()
    },
    onRejected({ record, batch }) {
      rejected.push(record.offset)
      batch.arrived()
    },
    canRetry: async () => isThere,
    onGone(messages) {
      gone.push(...toOffsets(messages))
      for (const { batch } of messages) batch.arrived()
    },
  })
  function add(count: number, { signal = new AbortController().signal, first = 0 } = {}) {
    const { batch, done } = createPendingBatch(count, [signal])
    for (let offset = first; offset < first + count; offset += 1) {
      const record = makeRecord({ offset })
      const message = toMessage(record, 0)
      queue.add({ record, message, batch })
    }
    return done
  }
  return { add, sends, rejected, gone, inflightMax: () => inflightMax }
}

const upTo = (count: number) => Array.from({ length: count }, (_, index) => index)
/** The records that the broker stored, each at its first arrival. */
const firsts = (sends: number[][]) => [...new Set(sends.flat())]

describe('a partition queue', () => {
  test('sends the messages of one linger together', async () => {
    const queue = makeQueue(() => undefined)
    await Promise.all([queue.add(3), queue.add(2, { first: 3 })])
    expect(queue.sends).toEqual([upTo(5)])
  })

  test('has one send in flight, within the bounds of count and bytes', async () => {
    const bytesMax = 100_000
    const queue = makeQueue(() => undefined, { bytesMax })
    await queue.add(3000)
    expect(queue.inflightMax()).toBe(1)
    const bytesOfOne = toMessage(makeRecord({ offset: 1 }), 0).bytesMax
    for (const send of queue.sends) {
      expect(send.length).toBeLessThanOrEqual(1000)
      expect(send.length * bytesOfOne).toBeLessThanOrEqual(bytesMax)
    }
    expect(firsts(queue.sends)).toEqual(upTo(3000))
  })

  test('delivers all messages in order of first arrival despite failures', async () => {
    const outcomes = fc.array(fc.boolean(), { maxLength: 30 })
    await fc.assert(
      fc.asyncProperty(outcomes, fc.integer({ min: 1, max: 1500 }), async (failures, count) => {
        let at = 0
        const queue = makeQueue(() => (failures[at++] ? retry : undefined))
        const half = count >> 1
        await Promise.all([queue.add(half), queue.add(count - half, { first: half })])
        expect(firsts(queue.sends)).toEqual(upTo(count))
      }),
      { numRuns: 30 },
    )
  })

  test('finds the rejected records and delivers the others in order', async () => {
    const poisoned = new Set([0, 17, 18, 499, 500, 641])
    const queue = makeQueue((offsets) =>
      offsets.some((o) => poisoned.has(o)) ? tooLarge : undefined,
    )
    await queue.add(700)
    expect(queue.rejected).toEqual([...poisoned])
    const stored = queue.sends.filter((offsets) => !offsets.some((o) => poisoned.has(o))).flat()
    expect(stored).toEqual(upTo(700).filter((offset) => !poisoned.has(offset)))
  })

  test('hands all messages back in order when its partition no longer exists', async () => {
    const queue = makeQueue(() => makeFault('no_partition'), {
      isThere: false,
    })
    await queue.add(1200)
    expect(queue.gone).toEqual(upTo(1200))
  })

  test('drops a batch that its shipper aborts and sends the next', async () => {
    const controller = new AbortController()
    const queue = makeQueue(([offset]) => {
      if (offset !== 0) return undefined
      controller.abort(new Error('shutting down'))
      return retry
    })
    const aborted = queue.add(10, { signal: controller.signal })
    const rejected = expect(aborted).rejects.toThrow('shutting down')
    await queue.add(10, { first: 10 })
    await rejected
    expect(queue.sends.at(-1)).toEqual(upTo(20).slice(10))
  })
})

test('queues that wait send in the same step, when the first of them is due', async () => {
  const linger = createLinger(1)
  const steps: string[] = []
  const all = Promise.withResolvers<void>()
  const makeRun =
    (name: string, done = () => {}) =>
    () => {
      steps.push(name)
      queueMicrotask(() => steps.push(`after ${name}`))
      done()
    }
  const left = makeRun('left')
  linger.wait(makeRun('a'))
  linger.wait(left)
  linger.wait(makeRun('b', all.resolve))
  linger.leave(left)
  await all.promise
  await Promise.resolve()
  expect(steps.slice(0, 2)).toEqual(['a', 'b'])
})
