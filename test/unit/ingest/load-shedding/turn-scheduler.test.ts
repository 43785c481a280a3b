import { expect, test } from 'bun:test'
import { IngestError } from '../../../../src/core/errors.ts'
import { createTurnScheduler } from '../../../../src/ingest/load-shedding/turn-scheduler.ts'

type Arrival = 'at once' | 'waits' | 'refused'

type TestLoopOptions = { workMs: number; inFlight?: number; patienceMs?: number }

/** A loop whose turns are played by hand, and a thread that each request keeps busy for `workMs`. */
function createTestLoop({ workMs, inFlight = 1000, patienceMs = -1 }: TestLoopOptions) {
  const loop = { nowMs: 1000, begun: [] as number[], ends: [] as (() => void)[] }
  const pace = createTurnScheduler({
    ...{ turnMsMax: 10, waitMsMax: 40, patienceMs, requestsMin: 64 },
    requests: () => inFlight,
    now: () => loop.nowMs,
    atTurnEnd: (end) => loop.ends.push(end),
  })
  const work = (id: number) => {
    loop.begun.push(id)
    loop.nowMs += workMs
  }
  function arrive(id: number): Arrival {
    try {
      const turn = pace.take()
      if (turn) void turn.then(() => work(id))
      else work(id)
      return turn ? 'waits' : 'at once'
    } catch (error) {
      expect(error).toBeInstanceOf(IngestError)
      expect((error as IngestError).code).toBe('too_busy')
      expect((error as IngestError).details.retryAfterSeconds).toBe(1)
      return 'refused'
    }
  }
  /** Ends the turn, and lets what may begin do so. */
  async function endTurn(): Promise<void> {
    for (const end of loop.ends.splice(0)) end()
    for (let hop = 0; hop < 1000; hop += 1) await Promise.resolve()
  }
  return { loop, pace, arrive, endTurn }
}

const ids = (count: number) => Array.from({ length: count }, (_, id) => id)

function tally(arrivals: readonly Arrival[]): Record<Arrival, number> {
  const count = (kind: Arrival) => arrivals.filter((arrival) => arrival === kind).length
  return { 'at once': count('at once'), waits: count('waits'), refused: count('refused') }
}

test('what fits a turn begins at once', () => {
  const { arrive } = createTestLoop({ workMs: 0.01 })
  expect(tally(ids(900).map(arrive))).toEqual({ 'at once': 900, waits: 0, refused: 0 })
})

test('what does not fit waits in order, as much as the next turns can take in time', async () => {
  const { loop, pace, arrive, endTurn } = createTestLoop({ workMs: 0.5 })
  // A turn takes 20, so in 40 ms of turns that last 20 ms in all it is 40 that can follow.
  expect(tally(ids(200).map(arrive))).toEqual({ 'at once': 20, waits: 40, refused: 140 })
  expect(pace.refused()).toBe(140)
  await endTurn()
  expect(loop.begun).toEqual(ids(40))
  await endTurn()
  expect(loop.begun).toEqual(ids(60))
})

test('who comes while others wait goes behind them', async () => {
  const { loop, arrive, endTurn } = createTestLoop({ workMs: 4 })
  expect(tally(ids(5).map(arrive))).toEqual({ 'at once': 3, waits: 2, refused: 0 })
  await endTurn()
  expect(arrive(5)).toBe('at once')
  expect(tally(ids(2).map((id) => arrive(id + 6)))).toEqual({ 'at once': 0, waits: 2, refused: 0 })
  await endTurn()
  await endTurn()
  expect(loop.begun).toEqual(ids(8))
})

test('slower turns let fewer wait', async () => {
  const { loop, arrive, endTurn } = createTestLoop({ workMs: 0.5 })
  ids(60).map(arrive)
  // Replies and refusals kept the thread busy as well.
  loop.nowMs += 70
  await endTurn()
  expect(loop.begun).toHaveLength(40)
  expect(arrive(60)).toBe('refused')
})

test('as many as a proxy’s connections are never refused, however long they take', async () => {
  const { loop, arrive, endTurn } = createTestLoop({ workMs: 400, inFlight: 64 })
  expect(tally(ids(64).map(arrive))).toEqual({ 'at once': 1, waits: 63, refused: 0 })
  for (let turn = 0; turn < 63; turn += 1) await endTurn()
  expect(loop.begun).toEqual(ids(64))
})

test('nobody is refused before there has been a line for a while, and then again', async () => {
  const { loop, arrive, endTurn } = createTestLoop({ workMs: 1, patienceMs: 100 })
  expect(tally(ids(500).map(arrive))).toEqual({ 'at once': 10, waits: 490, refused: 0 })
  for (let turn = 0; turn < 5; turn += 1) await endTurn()
  expect(arrive(500)).toBe('waits')
  for (let turn = 0; turn < 6; turn += 1) await endTurn()
  expect(arrive(501)).toBe('refused')
  for (let turn = 0; turn < 41; turn += 1) await endTurn()
  expect(loop.begun).toEqual(ids(501))
  // The line is gone, but not for long enough to be forgotten.
  expect(tally(ids(100).map(arrive)).refused).toBeGreaterThan(0)
  for (let turn = 0; turn < 10; turn += 1) await endTurn()
  loop.nowMs += 101
  expect(tally(ids(100).map(arrive)).refused).toBe(0)
})

test('an idle loop asks to be told of a turn’s end only when there is one', async () => {
  const { loop, arrive, endTurn } = createTestLoop({ workMs: 1 })
  expect(loop.ends).toHaveLength(0)
  arrive(0)
  arrive(1)
  expect(loop.ends).toHaveLength(1)
  await endTurn()
  expect(loop.ends).toHaveLength(0)
})
