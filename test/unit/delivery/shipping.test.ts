import { describe, expect, test } from 'bun:test'
import { loadConfig } from '../../../src/config/config.ts'
import { silentLog } from '../../../src/core/log.ts'
import { createShipping, type ShippingOptions } from '../../../src/delivery/shipping.ts'
import type { ThreadHandleOptions } from '../../../src/delivery/thread-handle.ts'
import type { FromThread, SinkStatus, ToThread } from '../../../src/delivery/thread-messages.ts'
import { until } from '../../support/until.ts'
import { encodeBlock } from './block-fixtures.ts'

type FakeThread = {
  given: ThreadHandleOptions
  received: (ToThread | { type: 'pushed'; firstOffset: number })[]
  ended: boolean | undefined
  say(message: FromThread): void
}

/** Shipping with fake threads, which the test controls. */
function makeShipping(given: Partial<ShippingOptions> = {}) {
  const threads: FakeThread[] = []
  const advanced: [string, number][] = []
  const spawn: ShippingOptions['spawn'] = (options) => {
    const thread: FakeThread = {
      ...{ given: options, received: [], ended: undefined, say: options.onMessage },
    }
    threads.push(thread)
    return {
      push: ({ firstOffset }) => void thread.received.push({ type: 'pushed', firstOffset }),
      post: (message) => void thread.received.push(message),
      transitBytes: () => 7,
      end(hasClosed) {
        thread.ended = hasClosed
      },
    }
  }
  const shipping = createShipping({
    ...{ journalDir: '', journalId: 'j', stateDir: '', endOffset: 10 },
    ...{ config: loadConfig({ CLICKHOUSE_URL: 'http://x' }).config, log: silentLog, spawn },
    onAdvanced: (sink, offset) => void advanced.push([sink, offset]),
    ...given,
  })
  return { shipping, threads, advanced }
}

async function startShipping(given: Partial<ShippingOptions> = {}) {
  const made = makeShipping(given)
  const started = made.shipping.start()
  made.threads[0]!.given.onStarted({ clickhouse: 4 })
  return { ...made, cursors: await started, thread: made.threads[0]! }
}

const counts = (capture: number): SinkStatus => ({
  ...{ shipped: { capture }, deadLettered: {}, retries: {}, batches: 1 },
  ...{ isHealthy: true, lastError: undefined },
})
const status = (clickhouse: SinkStatus): FromThread => ({
  type: 'status',
  status: { sinks: { clickhouse }, ring: { bytes: 3, blocks: 1 } },
})

describe('shipping', () => {
  test('knows the smallest limit for recordings that a sink reports', async () => {
    const { shipping, thread } = await startShipping()
    expect(shipping.recordingBytesMax()).toBe(Number.POSITIVE_INFINITY)
    thread.say(status({ ...counts(0), recordingBytesMax: 1_000_000 }))
    expect(shipping.recordingBytesMax()).toBe(1_000_000)
  })

  test('starts with the cursors that the thread reports', async () => {
    const { cursors, thread } = await startShipping()
    expect(cursors).toEqual({ clickhouse: 4 })
    expect(thread.given.options.endOffset).toBe(10)
  })

  test('rejects the start with the reason of a thread that refuses', async () => {
    const { shipping, threads } = makeShipping()
    const started = shipping.start()
    threads[0]!.given.onEnd('set CLICKHOUSE_URL instead')
    await expect(started).rejects.toThrow('set CLICKHOUSE_URL instead')
    expect(threads.length).toBe(1)
  })

  test('waits for space if the disk is full at the first start', async () => {
    const { shipping, threads } = makeShipping()
    const started = shipping.start()
    threads[0]!.given.onEnd('database or disk is full')
    await shipping.withoutDisk
    expect(shipping.isWithoutDisk()).toBe(true)
    await until(() => threads.length === 2)
    threads[1]!.given.onStarted({ clickhouse: 4 })
    expect(await started).toEqual({ clickhouse: 4 })
    expect(shipping.isWithoutDisk()).toBe(false)
  })

  test('starts another thread when a later one refuses', async () => {
    const { shipping, thread, threads } = await startShipping()
    thread.given.onEnd('out of memory')
    await until(() => threads.length === 2)
    threads[1]!.given.onEnd('disk is full')
    expect(shipping.health().clickhouse?.lastError).toBe('disk is full')
    await until(() => threads.length === 3)
    threads[2]!.given.onStarted({ clickhouse: 10 })
    expect(shipping.health().clickhouse).toMatchObject({ lagEvents: 0, lastError: undefined })
  })

  test('pushes blocks when the thread runs and announces the earlier ones', async () => {
    const { shipping, threads } = makeShipping()
    const started = shipping.start()
    shipping.push(encodeBlock(10, 5))
    threads[0]!.given.onStarted({})
    await started
    shipping.push(encodeBlock(15, 1))
    expect(threads[0]!.received).toEqual([
      { type: 'skipped', endOffset: 15, bytes: 0 },
      { type: 'pushed', firstOffset: 15 },
    ])
  })

  test('reports health and lag of every enabled sink', async () => {
    const { shipping, thread, advanced } = await startShipping()
    const unknown = { state: 'unhealthy', lagEvents: 6, lastError: undefined } as const
    expect(shipping.health()).toEqual({ clickhouse: unknown })
    thread.say({ type: 'advanced', sink: 'clickhouse', offset: 9 })
    thread.say(status({ ...counts(1), isHealthy: false, lastError: 'away' }))
    shipping.push(encodeBlock(10, 2))
    const down = { state: 'unhealthy', lagEvents: 3, lastError: 'away' } as const
    expect(shipping.health()).toEqual({ clickhouse: down })
    thread.say(status(counts(1)))
    expect(shipping.health().clickhouse!.state).toBe('healthy')
    expect(advanced).toEqual([['clickhouse', 9]])
  })

  test('starts another thread after an end and keeps the counts', async () => {
    const { shipping, thread, threads } = await startShipping()
    thread.say(status(counts(5)))
    shipping.push(encodeBlock(10, 2))
    thread.given.onEnd('out of memory')
    expect(shipping.health().clickhouse).toMatchObject({ state: 'unhealthy' })
    shipping.push(encodeBlock(12, 3))
    await until(() => threads.length === 2)
    expect(threads[1]!.given.options.endOffset).toBe(15)
    threads[1]!.given.onStarted({ clickhouse: 12 })
    threads[1]!.say(status(counts(3)))
    expect(shipping.stats()).toEqual({
      sinks: {
        clickhouse: {
          ...{ shipped: { capture: 8 }, deadLettered: {}, retries: {}, batches: 2 },
          ...{ cursor: 12, waiting: 3, lagMs: expect.any(Number), lastSuccessMs: 0 },
        },
      },
      ...{ ring: { bytes: 3, blocks: 1 }, transitBytes: 7, threadRestarts: 1 },
      recordingBytesMax: Number.POSITIVE_INFINITY,
    })
  })

  test.each([
    ['is drained when the thread reports it', { type: 'drained' } as const, 10_000, true],
    ['is not drained after the time limit', undefined, 1, false],
  ])('%s', async (_, said, deadlineMs, isDrained) => {
    const { shipping, thread } = await startShipping()
    const draining = shipping.drain(deadlineMs)
    expect(thread.received.at(-1)).toEqual({ type: 'drain' })
    if (said) thread.say(said)
    expect(await draining).toBe(isDrained)
  })

  test('terminates a closed thread and starts no other', async () => {
    const { shipping, thread, threads } = await startShipping()
    const closing = shipping.close()
    expect(thread.received.at(-1)).toEqual({ type: 'close' })
    expect(thread.ended).toBeUndefined()
    thread.say({ type: 'closed' })
    await closing
    expect(thread.ended).toBe(true)
    thread.given.onEnd(undefined)
    expect(threads.length).toBe(1)
  })

  test('waits for the close of a thread that replaced another', async () => {
    const { shipping, thread, threads } = await startShipping()
    thread.given.onEnd('out of memory')
    await until(() => threads.length === 2)
    threads[1]!.given.onStarted({ clickhouse: 4 })
    const closing = shipping.close()
    let isClosed = false
    void closing.then(() => {
      isClosed = true
    })
    await Bun.sleep(0)
    expect([isClosed, threads[1]!.ended]).toEqual([false, undefined])
    threads[1]!.say({ type: 'closed' })
    await closing
    expect(threads[1]!.ended).toBe(true)
  })

  test('closes at once while no thread runs', async () => {
    const { shipping, thread, threads } = await startShipping()
    thread.given.onEnd('out of memory')
    await shipping.close()
    expect(threads.length).toBe(1)
  })

  test('closes before any thread was started', async () => {
    await makeShipping().shipping.close()
  })
})
