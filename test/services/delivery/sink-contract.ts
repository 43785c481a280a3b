import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import type { StoredRecord } from '../../../src/core/record.ts'
import type { Sink } from '../../../src/core/sink.ts'
import {
  makeDeadLetter,
  makeEvent,
  makeEvents,
  makeLink,
  makeRecording,
  never,
  toBatch,
  uuidsOf,
} from '../../unit/delivery/clickhouse/fixtures.ts'

/** A sink on a fresh place of its own. */
export type SinkUnderTest = {
  sink: Sink
  /** uuids of what the place holds, in the order of arrival where it has one. */
  stored(): Promise<string[]>
}

export type SinkContract = {
  /** Called for every test. What it opens is closed by `sink.close()`. */
  open(): Promise<SinkUnderTest>
  /** Whether what is sent twice is stored once. */
  isExactlyOnce: boolean
}

/** What every sink promises to its shipper: see core/sink.ts. */
export function describeSink(name: string, contract: SinkContract): void {
  setDefaultTimeout(60_000)

  describe(`${name} keeps the contract of a sink`, () => {
    let place: SinkUnderTest
    beforeAll(async () => {
      place = await contract.open()
    })
    afterAll(() => place.sink.close())

    const storedOf = async (records: readonly StoredRecord[]) => {
      const uuids = new Set(uuidsOf(records))
      return (await place.stored()).filter((uuid) => uuids.has(uuid))
    }
    const expectStored = async (records: readonly StoredRecord[]) => {
      const stored = (await storedOf(records)).sort()
      expect(contract.isExactlyOnce ? stored : [...new Set(stored)]).toEqual(uuidsOf(records))
    }

    test('a batch that is shipped is stored', async () => {
      const records = makeEvents(10)
      await place.sink.ship(toBatch(records), never)
      await expectStored(records)
      expect(await storedOf(records)).toEqual(records.map((record) => record.head().uuid))
      expect(place.sink.isHealthy()).toBe(true)
    })

    test('batches follow each other', async () => {
      const records = makeEvents(9, 100)
      for (const from of [0, 3, 6])
        await place.sink.ship(toBatch(records.slice(from, from + 3)), never)
      await expectStored(records)
    })

    test('as many batches as it says may be under way', async () => {
      const batches = Array.from({ length: place.sink.inflightMax }, (_, index) =>
        makeEvents(20, 200 + 20 * index),
      )
      await Promise.all(batches.map((records) => place.sink.ship(toBatch(records), never)))
      await expectStored(batches.flat())
    })

    test('it takes every kind of record', async () => {
      const records = [makeEvent(300), makeRecording(301), makeLink(302), makeDeadLetter(303)]
      await place.sink.ship(toBatch(records), never)
      await expectStored(records)
    })

    test('a range of which nothing had arrived is stored when it is resumed', async () => {
      const records = makeEvents(5, 400)
      await place.sink.resume(toBatch(records), never)
      await expectStored(records)
    })

    test('a range that had arrived, whole or in part, is complete when it is resumed', async () => {
      const records = makeEvents(6, 500)
      await place.sink.ship(toBatch(records.slice(0, 2)), never)
      await place.sink.resume(toBatch(records), never)
      await place.sink.resume(toBatch(records), never)
      await expectStored(records)
    })

    test('an aborted batch rejects, and can be resumed', async () => {
      const records = makeEvents(4, 600)
      const reason = new Error('shutting down')
      expect(place.sink.ship(toBatch(records), AbortSignal.abort(reason))).rejects.toThrow()
      await place.sink.resume(toBatch(records), never)
      await expectStored(records)
    })
  })
}
