import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { createDelivery } from '../../../../src/delivery/kafka/delivery.ts'
import type { SendFault } from '../../../../src/delivery/kafka/fault.ts'
import { toBytesMax, toMessage } from '../../../../src/delivery/kafka/message.ts'
import {
  createPartitionQueue,
  type PendingMessage,
} from '../../../../src/delivery/kafka/partition-queue.ts'
import { makeFault, makeRecord } from './fixtures.ts'

const retry = makeFault('retry')
const tooLarge = makeFault('too_large')

type Answer = (offsets: number[]) => SendFault | undefined

/** A lane on a broker that answers as told, and what became of the records. */
function makeLane(answer: Answer, { bytesMax = 2 ** 20, isThere = true } = {}) {
  const sends: number[][] = []
  const refused: number[] = []
  const gone: number[] = []
  let inflight = 0
  let inflightMax = 0
  const toOffsets = (parcels: readonly PendingMessage[]) =>
    parcels.map(({ record }) => record.offset)
  const lane = createPartitionQueue({
    lingerMs: 1,
    bytesMax: () => bytesMax,
    async send(parcels) {
      inflight += 1
      inflightMax = Math.max(inflightMax, inflight)
      await Promise.resolve()
      inflight -= 1
      sends.push(toOffsets(parcels))
      return answer(toOffsets(parcels))
    },
    onDelivered(parcels) {
      for (const { delivery } of parcels) delivery.arrived()
    },
    onRefused({ record, delivery }) {
      refused.push(record.offset)
      delivery.arrived()
    },
    canRetry: async () => isThere,
    onGone(parcels) {
      gone.push(...toOffsets(parcels))
      for (const { delivery } of parcels) delivery.arrived()
    },
  })
  function add(count: number, { signal = new AbortController().signal, first = 0 } = {}) {
    const { delivery, done } = createDelivery(count, [signal])
    for (let offset = first; offset < first + count; offset += 1) {
      const record = makeRecord({ offset })
      const message = toMessage(record, 0)
      lane.add({ record, message, bytesMax: toBytesMax(message), delivery })
    }
    return done
  }
  return { add, sends, refused, gone, inflightMax: () => inflightMax }
}

const upTo = (count: number) => Array.from({ length: count }, (_, index) => index)
/** What the broker stored, each record at its first arrival. */
const firsts = (sends: number[][]) => [...new Set(sends.flat())]

describe('a lane', () => {
  test('gathers what comes within the linger into one send', async () => {
    const lane = makeLane(() => undefined)
    await Promise.all([lane.add(3), lane.add(2, { first: 3 })])
    expect(lane.sends).toEqual([upTo(5)])
  })

  test('has one send under way, none of which is above its bounds', async () => {
    const bytesMax = 100_000
    const lane = makeLane(() => undefined, { bytesMax })
    await lane.add(3000)
    expect(lane.inflightMax()).toBe(1)
    const bytesOfOne = toBytesMax(toMessage(makeRecord({ offset: 1 }), 0))
    for (const send of lane.sends) {
      expect(send.length).toBeLessThanOrEqual(1000)
      expect(send.length * bytesOfOne).toBeLessThanOrEqual(bytesMax)
    }
    expect(firsts(lane.sends)).toEqual(upTo(3000))
  })

  test('keeps the order of first arrivals whatever fails, and delivers everything', async () => {
    const outcomes = fc.array(fc.boolean(), { maxLength: 30 })
    await fc.assert(
      fc.asyncProperty(outcomes, fc.integer({ min: 1, max: 1500 }), async (failures, count) => {
        let at = 0
        const lane = makeLane(() => (failures[at++] ? retry : undefined))
        const half = count >> 1
        await Promise.all([lane.add(half), lane.add(count - half, { first: half })])
        expect(firsts(lane.sends)).toEqual(upTo(count))
      }),
      { numRuns: 30 },
    )
  })

  test('finds the records that are refused, and delivers their neighbours in order', async () => {
    const poisoned = new Set([0, 17, 18, 499, 500, 641])
    const lane = makeLane((offsets) =>
      offsets.some((o) => poisoned.has(o)) ? tooLarge : undefined,
    )
    await lane.add(700)
    expect(lane.refused).toEqual([...poisoned])
    const stored = lane.sends.filter((offsets) => !offsets.some((o) => poisoned.has(o))).flat()
    expect(stored).toEqual(upTo(700).filter((offset) => !poisoned.has(offset)))
  })

  test('hands everything back, in order, when its partition is gone', async () => {
    const lane = makeLane(() => makeFault('no_partition'), {
      isThere: false,
    })
    await lane.add(1200)
    expect(lane.gone).toEqual(upTo(1200))
  })

  test('gives up a batch that its shipper gave up, and serves the next', async () => {
    const controller = new AbortController()
    const lane = makeLane(([offset]) => {
      if (offset !== 0) return undefined
      controller.abort(new Error('shutting down'))
      return retry
    })
    const abandoned = lane.add(10, { signal: controller.signal })
    expect(abandoned).rejects.toThrow('shutting down')
    await lane.add(10, { first: 10 })
    expect(lane.sends.at(-1)).toEqual(upTo(20).slice(10))
  })
})
