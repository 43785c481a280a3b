import { expect, test } from 'bun:test'
import { IngestError } from '../../../../src/core/errors.ts'
import { createTurnScheduler } from '../../../../src/ingest/load-shedding/turn-scheduler.ts'

type Arrival = 'at once' | 'waits' | 'refused'

type TestLoopOptions = {
  workMs: number
  inFlight?: number
  shedAfterMs?: number
  waitMsMax?: number
}

/**
 * An event loop whose iterations the test ends, and a thread that each request keeps busy for
 * `workMs`.
 */
function createTestLoop(options: TestLoopOptions) {
  const { workMs, inFlight = 1000, shedAfterMs = -1, waitMsMax = 40 } = options
  const loop = { nowMs: 1000, started: [] as number[], ends: [] as (() => void)[] }
  const scheduler = createTurnScheduler({
    ...{ iterationMsMax: 10, waitMsMax, overloadedWaitMsMax: 40 },
    ...{ shedAfterMs, requestsMin: 64 },
    requests: () => inFlight,
    now: () => loop.nowMs,
    afterIteration: (end) => loop.ends.push(end),
  })
  const work = (id: number) => {
    loop.started.push(id)
    loop.nowMs += workMs
  }
  function arrive(id: number): Arrival {
    try {
      const turn = scheduler.take()
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
  /** Ends the iteration, and lets queued requests start. */
  async function endIteration(): Promise<void> {
    for (const end of loop.ends.splice(0)) end()
    for (let hop = 0; hop < 1000; hop += 1) await Promise.resolve()
  }
  return { loop, scheduler, arrive, endIteration }
}

const ids = (count: number) => Array.from({ length: count }, (_, id) => id)

function tally(arrivals: readonly Arrival[]): Record<Arrival, number> {
  const count = (kind: Arrival) => arrivals.filter((arrival) => arrival === kind).length
  return { 'at once': count('at once'), waits: count('waits'), refused: count('refused') }
}

test('starts requests at once while the iteration has time', () => {
  const { arrive } = createTestLoop({ workMs: 0.01 })
  expect(tally(ids(900).map(arrive))).toEqual({ 'at once': 900, waits: 0, refused: 0 })
})

test('queues in order what the next iterations can take in time, and refuses the rest', async () => {
  const { loop, scheduler, arrive, endIteration } = createTestLoop({ workMs: 0.5 })
  // An iteration starts 20 requests and is estimated at 20 ms, so 40 requests can start within 40
  // ms.
  expect(tally(ids(200).map(arrive))).toEqual({ 'at once': 20, waits: 40, refused: 140 })
  expect(scheduler.refused()).toBe(140)
  await endIteration()
  expect(loop.started).toEqual(ids(40))
  await endIteration()
  expect(loop.started).toEqual(ids(60))
})

test('queues a new request behind waiting ones', async () => {
  const { loop, arrive, endIteration } = createTestLoop({ workMs: 4 })
  expect(tally(ids(5).map(arrive))).toEqual({ 'at once': 3, waits: 2, refused: 0 })
  await endIteration()
  expect(arrive(5)).toBe('at once')
  expect(tally(ids(2).map((id) => arrive(id + 6)))).toEqual({ 'at once': 0, waits: 2, refused: 0 })
  await endIteration()
  await endIteration()
  expect(loop.started).toEqual(ids(8))
})

test('queues fewer requests after a slow iteration', async () => {
  const { loop, arrive, endIteration } = createTestLoop({ workMs: 0.5 })
  ids(60).map(arrive)
  // Replies and refusals also take time.
  loop.nowMs += 70
  await endIteration()
  expect(loop.started).toHaveLength(40)
  expect(arrive(60)).toBe('refused')
})

test('never refuses while only a proxy’s connections are in flight', async () => {
  const { loop, arrive, endIteration } = createTestLoop({ workMs: 400, inFlight: 64 })
  expect(tally(ids(64).map(arrive))).toEqual({ 'at once': 1, waits: 63, refused: 0 })
  for (let count = 0; count < 63; count += 1) await endIteration()
  expect(loop.started).toEqual(ids(64))
})

test('refuses only after the queue has lasted, and forgets a queue after the same time', async () => {
  const { loop, arrive, endIteration } = createTestLoop({ workMs: 1, shedAfterMs: 100 })
  expect(tally(ids(500).map(arrive))).toEqual({ 'at once': 10, waits: 490, refused: 0 })
  for (let count = 0; count < 5; count += 1) await endIteration()
  expect(arrive(500)).toBe('waits')
  for (let count = 0; count < 6; count += 1) await endIteration()
  expect(arrive(501)).toBe('refused')
  for (let count = 0; count < 41; count += 1) await endIteration()
  expect(loop.started).toEqual(ids(501))
  // The queue is empty, but not for long enough.
  expect(tally(ids(100).map(arrive)).refused).toBeGreaterThan(0)
  for (let count = 0; count < 10; count += 1) await endIteration()
  loop.nowMs += 101
  expect(tally(ids(100).map(arrive)).refused).toBe(0)
})

/** In each iteration `arrivals` gives the number of new requests. */
async function runLoad(
  test: ReturnType<typeof createTestLoop>,
  arrivals: (answered: number) => number,
  seconds: number,
) {
  const { loop, arrive, endIteration } = test
  const waits: number[] = []
  const arrivedMs: number[] = []
  let refused = 0
  let seen = 0
  let answered = 0
  for (const endMs = loop.nowMs + seconds * 1000; loop.nowMs < endMs; ) {
    for (let left = arrivals(answered); left > 0; left -= 1) {
      arrivedMs.push(loop.nowMs)
      const isRefused = arrive(arrivedMs.length - 1) === 'refused'
      if (isRefused) refused += 1
    }
    loop.nowMs += 2
    await endIteration()
    answered = loop.started.length - seen
    for (; seen < loop.started.length; seen += 1)
      waits.push(loop.nowMs - arrivedMs[loop.started[seen]!]!)
  }
  return { refused, started: seen, longestMs: Math.max(...waits.slice(waits.length / 2)) }
}

const production = { shedAfterMs: 250, waitMsMax: 120, inFlight: 512 }

test('refuses none of 512 clients that wait for their replies, if the queue drains in time', async () => {
  const test = createTestLoop({ workMs: 0.15, ...production })
  let isFirst = true
  let iterations = 0
  const { refused, longestMs } = await runLoad(
    test,
    (answered) => {
      const count = isFirst ? 512 : answered
      isFirst = false
      iterations += 1
      // The pause of a garbage collection, now and then.
      if (iterations % 100 === 0) test.loop.nowMs += 60
      return count
    },
    5,
  )
  expect(refused).toBe(0)
  expect(longestMs).toBeLessThan(200)
})

test('with three times the capacity refuses the rest, and keeps the wait of the others short', async () => {
  const test = createTestLoop({ workMs: 0.5, ...production })
  let lastMs = test.loop.nowMs
  let owed = 0
  const { refused, started, longestMs } = await runLoad(
    test,
    () => {
      // 6 requests a millisecond; the thread starts 2 at most.
      owed += (test.loop.nowMs - lastMs) * 6
      lastMs = test.loop.nowMs
      const count = Math.floor(owed)
      owed -= count
      return count
    },
    5,
  )
  expect(refused / (refused + started)).toBeWithin(0.6, 0.8)
  expect(longestMs).toBeLessThan(80)
})

test('registers for the end of an iteration only if it started requests', async () => {
  const { loop, arrive, endIteration } = createTestLoop({ workMs: 1 })
  expect(loop.ends).toHaveLength(0)
  arrive(0)
  arrive(1)
  expect(loop.ends).toHaveLength(1)
  await endIteration()
  expect(loop.ends).toHaveLength(0)
})
