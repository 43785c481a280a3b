import { describe, expect, jest, test } from 'bun:test'
import {
  noJitter,
  retryUntilAborted,
  shareFor,
  toBackoffMs,
  withTimeLimit,
} from '../../../src/core/async.ts'

const never = new Promise<string>(() => {})

describe('withTimeLimit', () => {
  test('resolves and rejects like the promise within the limit', async () => {
    const fail = () => {
      throw new Error('too late')
    }
    expect(await withTimeLimit(Promise.resolve('done'), 1000, fail)).toBe('done')
    const failing = withTimeLimit(Promise.reject(new Error('broken')), 1000, fail)
    await expect(failing).rejects.toThrow('broken')
  })

  test('resolves with the fallback after the limit', async () => {
    expect(await withTimeLimit(never, 1, () => 'fallback')).toBe('fallback')
  })

  test('rejects with what the fallback throws', async () => {
    const late = withTimeLimit(never, 1, () => {
      throw new Error('too late')
    })
    await expect(late).rejects.toThrow('too late')
  })

  test('waits for a fallback that is a promise', async () => {
    const nested = withTimeLimit(never, 1, () => withTimeLimit(never, 1, () => 'second'))
    expect(await nested).toBe('second')
  })

  test('clears its timer when the promise settles first', async () => {
    const onTimeout = jest.fn(() => 'fallback')
    await withTimeLimit(Promise.resolve('done'), 1, onTimeout)
    await withTimeLimit(never, 5, () => 'later')
    expect(onTimeout).not.toHaveBeenCalled()
  })
})

test.each([
  [1, 1, 100],
  [1, 0, 50],
  [3, 1, 400],
  [4, 1, 500],
  [1000, 0, 250],
])('pauses after %i failures, random %d: %d ms', (failures, random, expectedMs) => {
  expect(toBackoffMs(failures, { firstMs: 100, maxMs: 500 }, () => random)).toBe(expectedMs)
})

describe('retryUntilAborted', () => {
  const backoff = { firstMs: 10, maxMs: 40 }

  test('retries with growing pauses and reports each failure', async () => {
    const pauses: number[] = []
    const faults: unknown[] = []
    let calls = 0
    const result = await retryUntilAborted(
      async () => {
        calls += 1
        if (calls < 4) throw new Error(`failure ${calls}`)
        return calls
      },
      {
        backoff,
        random: noJitter,
        sleep: async (ms) => void pauses.push(ms),
        onFault: (error) => faults.push((error as Error).message),
      },
      new AbortController().signal,
    )
    expect({ result, pauses }).toEqual({ result: 4, pauses: [10, 20, 40] })
    expect(faults).toEqual(['failure 1', 'failure 2', 'failure 3'])
  })

  test('rejects with the signal’s reason when the signal aborts', async () => {
    const stopping = new AbortController()
    const retried = retryUntilAborted(
      () => Promise.reject(new Error('broken')),
      {
        backoff,
        random: noJitter,
        sleep: async () => stopping.abort(new Error('stopped')),
        onFault() {},
      },
      stopping.signal,
    )
    await expect(retried).rejects.toThrow('stopped')
  })
})

test('shares one result for a time, and none that failed', async () => {
  let calls = 0
  const shared = shareFor(60_000, async () => {
    calls += 1
    if (calls === 1) throw new Error('the first call fails')
    return calls
  })
  await expect(shared()).rejects.toThrow('the first call fails')
  expect(await Promise.all([shared(), shared()])).toEqual([2, 2])
  expect(await shared()).toBe(2)
  let count = 0
  const unshared = shareFor(0, async () => ++count)
  expect([await unshared(), await unshared()]).toEqual([1, 2])
})
