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

/** A sink with an empty destination of its own. */
export type SinkUnderTest = {
  sink: Sink
  /** The uuids of the stored records, in order of arrival if the destination has an order. */
  stored(): Promise<string[]>
}

export type SinkContract = {
  /** Called for every suite. `sink.close()` closes everything that it opens. */
  open(): Promise<SinkUnderTest>
  /** Whether a record that is sent twice is stored once. */
  isExactlyOnce: boolean
}

/** The contract between a sink and its shipper; see core/sink.ts. */
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

    test('stores a shipped batch', async () => {
      const records = makeEvents(10)
      await place.sink.ship(toBatch(records), never)
      await expectStored(records)
      expect(await storedOf(records)).toEqual(records.map((record) => record.head().uuid))
      expect(place.sink.isHealthy()).toBe(true)
    })

    test('stores batches one after the other', async () => {
      const records = makeEvents(9, 100)
      for (const from of [0, 3, 6])
        await place.sink.ship(toBatch(records.slice(from, from + 3)), never)
      await expectStored(records)
    })

    test('accepts `inflightMax` batches at once', async () => {
      const batches = Array.from({ length: place.sink.inflightMax }, (_, index) =>
        makeEvents(20, 200 + 20 * index),
      )
      await Promise.all(batches.map((records) => place.sink.ship(toBatch(records), never)))
      await expectStored(batches.flat())
    })

    test('stores every kind of record', async () => {
      const records = [makeEvent(300), makeRecording(301), makeLink(302), makeDeadLetter(303)]
      await place.sink.ship(toBatch(records), never)
      await expectStored(records)
    })

    test('stores a resumed range of which no record had arrived', async () => {
      const records = makeEvents(5, 400)
      await place.sink.resume(toBatch(records), never)
      await expectStored(records)
    })

    test('completes a resumed range that had arrived in whole or in part', async () => {
      const records = makeEvents(6, 500)
      await place.sink.ship(toBatch(records.slice(0, 2)), never)
      await place.sink.resume(toBatch(records), never)
      await place.sink.resume(toBatch(records), never)
      await expectStored(records)
    })

    test('rejects an aborted batch, which can be resumed', async () => {
      const records = makeEvents(4, 600)
      const reason = new Error('shutting down')
      await expect(place.sink.ship(toBatch(records), AbortSignal.abort(reason))).rejects.toThrow()
      await place.sink.resume(toBatch(records), never)
      await expectStored(records)
    })
  })
}
