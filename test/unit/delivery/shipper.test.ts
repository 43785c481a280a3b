import { describe, expect, test } from 'bun:test'
import { until } from '../../support/until.ts'
import { makeEvent } from './clickhouse/fixtures.ts'
import * as fixtures from './shipper-fixtures.ts'

const { makeCursors, makeJournal, makeShipper, makeSink, rangeOf } = fixtures
type World = ReturnType<typeof makeShipper>

const held = (world: Pick<World, 'sink'>, count: number) =>
  until(() => world.sink.held.length >= count, { what: `${count} batches` })
const ranges = (world: Pick<World, 'sink'>) => world.sink.held.map(({ batch }) => rangeOf(batch))

describe('a shipper', () => {
  test('ships committed records in order and advances the cursor', async () => {
    const world = makeShipper()
    world.shipper.start()
    world.commit(3)
    await held(world, 1)
    world.commit(2)
    expect(world.shipper.cursor()).toBe(0)
    world.sink.held[0]!.arrive()
    await held(world, 2)
    expect(ranges(world)).toEqual(['0-2', '3-4'])
    expect(world.cursors.log).toEqual(['advance 3'])
    expect(world.advanced).toEqual([3])
    await world.shipper.stop()
  })

  test('waits up to the flush time for a batch to grow', async () => {
    const world = makeShipper({ flushMs: 60_000 })
    world.shipper.start()
    world.commit(3)
    world.clock.nowMs += 59_999
    world.commit(4)
    expect(world.sink.held).toEqual([])
    world.clock.nowMs += 1
    world.commit(93) // Wakes the shipper.
    await held(world, 1)
    expect(ranges(world)).toEqual(['0-99'])
    await world.shipper.stop()
  })

  test('does not wait when a batch has enough records', async () => {
    const world = makeShipper({ flushMs: 60_000 })
    world.shipper.start()
    world.commit(250)
    await held(world, 1)
    world.sink.held[0]!.arrive()
    await held(world, 2)
    world.sink.held[1]!.arrive()
    await until(() => world.shipper.cursor() === 200)
    expect(ranges(world)).toEqual(['0-99', '100-199'])
    await world.shipper.stop()
  })

  test('does not wait when a batch has enough bytes', async () => {
    const limits = { recordsMax: 1000, bytesMax: 4000 }
    const world = makeShipper({ flushMs: 60_000, limits })
    world.shipper.start()
    world.commit(10)
    await held(world, 1)
    const bytes = world.sink.held[0]!.batch.records.reduce((sum, { line }) => sum + line.length, 0)
    expect(bytes).toBeLessThan(5000)
    await world.shipper.stop()
  })

  test('ships a record above the bytes of a batch', async () => {
    const world = makeShipper({ limits: { recordsMax: 10, bytesMax: 100 } })
    world.shipper.start()
    world.commit(2)
    await held(world, 1)
    world.sink.held[0]!.arrive()
    await held(world, 2)
    expect(ranges(world)).toEqual(['0-0', '1-1'])
    await world.shipper.stop()
  })

  test('skips gaps in the journal', async () => {
    const world = makeShipper()
    world.journal.records.push(makeEvent(5), makeEvent(9))
    world.shipper.start()
    world.shipper.announce(12, 0)
    await held(world, 1)
    expect(ranges(world)).toEqual(['5-9'])
    await world.shipper.stop()
  })

  test('waits for an announced record that the journal does not show yet', async () => {
    const world = makeShipper()
    world.shipper.start()
    world.shipper.announce(1, 400)
    await until(() => world.journal.reads.length > 0)
    world.journal.records.push(makeEvent(0))
    await held(world, 1)
    await world.shipper.stop()
  })

  test('continues at its cursor', async () => {
    const cursors = makeCursors()
    cursors.advance('clickhouse', 3)
    const world = makeShipper({ cursors })
    world.shipper.start()
    world.commit(5)
    await held(world, 1)
    expect(ranges(world)).toEqual(['3-4'])
    await world.shipper.stop()
  })

  test('resumes the range that was in flight before it ships more', async () => {
    const cursors = makeCursors()
    cursors.advance('clickhouse', 2)
    cursors.begin('clickhouse', { firstOffset: 2, lastOffset: 3, attempt: 'a' })
    const world = makeShipper({ cursors })
    world.commit(6)
    world.shipper.start()
    await held(world, 1)
    expect(world.sink.resumed.map(rangeOf)).toEqual(['2-3'])
    world.sink.held[0]!.arrive()
    await held(world, 2)
    expect(ranges(world)).toEqual(['2-3', '4-5'])
    expect(world.sink.resumed.length).toBe(1)
    await world.shipper.stop()
  })

  test('continues without a range that the journal no longer has', async () => {
    const cursors = makeCursors()
    cursors.begin('clickhouse', { firstOffset: 0, lastOffset: 3, attempt: 'a' })
    const world = makeShipper({ cursors })
    world.journal.records.push(makeEvent(7))
    world.shipper.start()
    world.shipper.announce(8, 0)
    await held(world, 1)
    expect(ranges(world)).toEqual(['7-7'])
    expect(world.sink.resumed).toEqual([])
    await world.shipper.stop()
  })

  test('resumes a batch whose sink rejected against its contract', async () => {
    const world = makeShipper()
    world.shipper.start()
    world.commit(2)
    await held(world, 1)
    world.sink.held[0]!.fail(new Error('bug'))
    await held(world, 2)
    expect(world.sink.resumed.map(rangeOf)).toEqual(['0-1'])
    expect(world.faults).toEqual(['Error: bug'])
    await world.shipper.stop()
  })

  test('retries a failed read', async () => {
    const journal = makeJournal()
    const { read } = journal
    let failures = 0
    journal.read = async (from, limits) => {
      failures += 1
      if (failures < 4) throw new Error('EIO')
      return read(from, limits)
    }
    const world = makeShipper({ source: journal })
    world.shipper.start()
    world.commit(2)
    await held(world, 1)
    expect(world.faults).toEqual(Array(3).fill('Error: EIO'))
    await world.shipper.stop()
  })

  test('sends nothing more until its cursor is written', async () => {
    const cursors = makeCursors()
    const { advance } = cursors
    const heldThen: number[] = []
    cursors.advance = (sink, offset) => {
      heldThen.push(world.sink.held.length)
      if (heldThen.length < 4) throw new Error('disk is full')
      advance(sink, offset)
    }
    const world = makeShipper({ cursors })
    world.shipper.start()
    world.commit(1)
    await held(world, 1)
    world.commit(1)
    world.sink.held[0]!.arrive()
    await held(world, 2)
    expect(world.faults.length).toBe(3)
    expect(heldThen).toEqual([1, 1, 1, 1])
    expect(world.advanced).toEqual([1])
    await world.shipper.stop()
  })

  test('keeps its cursor when it is stopped with a batch in flight', async () => {
    const world = makeShipper()
    world.shipper.start()
    world.commit(2)
    await held(world, 1)
    await world.shipper.stop()
    expect(world.cursors.log).toEqual([])
    expect(world.advanced).toEqual([])
  })
})

describe('draining', () => {
  test('ships at once and ends when all announced records are shipped', async () => {
    const world = makeShipper({ flushMs: 60_000 })
    world.shipper.start()
    world.commit(3)
    const draining = world.shipper.drain()
    await held(world, 1)
    world.sink.held[0]!.arrive()
    await draining
    expect(world.shipper.cursor()).toBe(3)
    await world.shipper.stop()
  })

  test('ends at once without records', async () => {
    const world = makeShipper()
    world.shipper.start()
    await world.shipper.drain()
    await world.shipper.stop()
  })

  test('ends when the shipper is stopped', async () => {
    const world = makeShipper()
    world.shipper.start()
    world.commit(1)
    const draining = world.shipper.drain()
    await held(world, 1)
    await world.shipper.stop()
    await draining
    expect(world.shipper.cursor()).toBe(0)
  })
})

describe('several batches in flight', () => {
  const several = () => {
    const sink = makeSink(3)
    const world = makeShipper({ sink, limits: { recordsMax: 1, bytesMax: 1_000_000 } })
    return { ...world, sink }
  }

  test('are limited by the sink', async () => {
    const world = several()
    world.shipper.start()
    world.commit(5)
    await held(world, 3)
    world.sink.held[1]!.arrive()
    await held(world, 4)
    expect(ranges(world)).toEqual(['0-0', '1-1', '2-2', '3-3'])
    await world.shipper.stop()
  })

  test('advance the cursor in their order, whichever arrives first', async () => {
    const world = several()
    world.shipper.start()
    world.commit(3)
    await held(world, 3)
    world.sink.held[2]!.arrive()
    world.sink.held[1]!.arrive()
    await until(() => world.shipped.length === 2)
    expect(world.shipper.cursor()).toBe(0)
    world.sink.held[0]!.arrive()
    await until(() => world.shipper.cursor() === 3)
    expect(world.advanced.at(-1)).toBe(3)
    await world.shipper.stop()
  })
})
