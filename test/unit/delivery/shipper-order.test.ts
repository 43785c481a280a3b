import { expect, test } from 'bun:test'
import { setImmediate as nextIteration } from 'node:timers/promises'
import fc from 'fast-check'
import type { Batch } from '../../../src/core/sink.ts'
import { makeEvent } from './clickhouse/fixtures.ts'
import { makeCursors, makeJournal, makeShipper, makeSink } from './shipper-fixtures.ts'

/** A shipper that needs more steps than this is stuck, not slow. */
const stepsMax = 20_000

const cases = {
  scheduler: fc.scheduler(),
  commits: fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 8 }),
  /** For each read, send and cursor write: whether it fails. */
  reads: fc.infiniteStream(fc.boolean()),
  sends: fc.infiniteStream(fc.boolean()),
  writes: fc.infiniteStream(fc.boolean()),
  inflightMax: fc.constantFrom(1, 3),
  flushMs: fc.constantFrom(0, 1),
  recordsMax: fc.integer({ min: 1, max: 5 }),
}

const failing = (faults: fc.Stream<boolean>) => () => {
  if (faults.next().value === true) throw new Error('random failure')
}

test('ships everything and misses no wake-up, for any order of events and failures', async () => {
  await fc.assert(
    fc.asyncProperty(fc.record(cases), async ({ scheduler, commits, ...given }) => {
      const arrived = new Set<number>()
      const mayRead = failing(given.reads)
      const maySend = failing(given.sends)
      const mayWrite = failing(given.writes)
      const journal = makeJournal()
      const cursors = makeCursors()
      async function send({ records }: Batch): Promise<void> {
        await scheduler.schedule(Promise.resolve(), 'send')
        maySend()
        for (const { offset } of records) arrived.add(offset)
      }
      const { shipper } = makeShipper({
        sink: { ...makeSink(given.inflightMax), ship: send, resume: send },
        source: {
          async read(from, limits) {
            await scheduler.schedule(Promise.resolve(), 'read')
            mayRead()
            return journal.read(from, limits)
          },
        },
        cursors: {
          ...cursors,
          advance(name, offset) {
            mayWrite()
            cursors.advance(name, offset)
          },
        },
        limits: { recordsMax: given.recordsMax, bytesMax: 1_000_000 },
        ...{ flushMs: given.flushMs, now: Date.now },
      })
      shipper.start()
      let end = 0
      for (const count of commits)
        void scheduler.schedule(Promise.resolve(), 'commit').then(() => {
          for (const until = end + count; end < until; end += 1)
            journal.records.push(makeEvent(end))
          shipper.announce(end, count * 400)
        })

      const total = commits.reduce((sum, count) => sum + count, 0)
      const isDone = () => shipper.cursor() === total
      const step = () => (scheduler.count() > 0 ? scheduler.waitOne() : nextIteration())
      for (let steps = 0; steps < stepsMax && !isDone(); steps += 1) await step()
      const drains = Promise.all([shipper.drain(), shipper.drain()])
      expect({ cursor: shipper.cursor(), arrived: arrived.size }).toEqual({
        cursor: total,
        arrived: total,
      })
      await drains
      await shipper.stop()
    }),
    { numRuns: 150 },
  )
}, 60_000)

test('ends two concurrent drains', async () => {
  const { shipper, sink, commit } = makeShipper()
  shipper.start()
  commit(3)
  const drains = [shipper.drain(), shipper.drain()]
  while (sink.held.length === 0) await nextIteration()
  sink.held[0]!.arrive()
  await Promise.all(drains)
  expect(shipper.cursor()).toBe(3)
  await shipper.stop()
})
