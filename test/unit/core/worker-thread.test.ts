import { describe, expect, test } from 'bun:test'
import {
  createRequestThread,
  startThread,
  type WorkerThread,
} from '../../../src/core/worker-thread.ts'
import type { TestThread } from './worker-thread-fixture.ts'

function startTestThread(start: TestThread['options']['start'] = 'ready') {
  const replies = Promise.withResolvers<TestThread['fromThread'][]>()
  const ended = Promise.withResolvers<string | undefined>()
  const messages: TestThread['fromThread'][] = []
  const thread: WorkerThread<TestThread> = startThread<TestThread>({
    script: new URL('./worker-thread-fixture.ts', import.meta.url).href,
    options: { start },
    onMessage(message) {
      messages.push(message)
      if (messages.length === 2) replies.resolve(messages)
    },
    onEnd: ended.resolve,
  })
  return { thread, replies: replies.promise, ended: ended.promise }
}

describe('a worker thread', () => {
  test('delivers messages in order, also those posted before it is ready', async () => {
    const { thread, replies, ended } = startTestThread()
    const first = new Uint8Array([1])
    thread.post({ do: 'echo', bytes: first }, [first.buffer])
    thread.post({ do: 'echo', bytes: new Uint8Array([2]) })
    expect(await thread.ready).toBe('open')
    expect(await replies).toEqual([
      { bytes: new Uint8Array([1]), received: 1 },
      { bytes: new Uint8Array([2]), received: 2 },
    ])
    expect(first.length).toBe(0) // It was transferred.
    thread.terminate()
    expect(await ended).toBeUndefined()
  })

  test('ends with its reason if it refuses to start', async () => {
    const { thread, ended } = startTestThread('refused')
    await expect(thread.ready).rejects.toThrow('set X to start')
    expect(await ended).toBe('set X to start')
  })

  test.each([
    [
      'reports the error that ended it',
      { do: 'throw' } as const,
      expect.stringContaining('broken'),
    ],
    ['reports an end without an error', { do: 'exit' } as const, undefined],
  ])('%s', async (_, message, error) => {
    const { thread, ended } = startTestThread()
    thread.post(message)
    expect(await ended).toEqual(error)
  })

  test('is not ready if it ends before', async () => {
    const { thread } = startTestThread()
    thread.terminate()
    await expect(thread.ready).rejects.toThrow('ended before it was ready')
  })
})

describe('a request thread', () => {
  const create = () =>
    createRequestThread<string, string>({
      name: 'test thread',
      script: new URL('./request-thread-fixture.ts', import.meta.url).href,
    })

  test('answers in the order of the requests', async () => {
    const thread = create()
    expect(await Promise.all([thread.request('a'), thread.request('b')])).toEqual(['a 1', 'b 2'])
    thread.close()
  })

  test('rejects what waits when it ends, and starts another with the next request', async () => {
    const thread = create()
    const outcomes = await Promise.allSettled([thread.request('exit'), thread.request('a')])
    const ended = new Error('the test thread ended: no error was reported')
    expect(outcomes).toEqual([
      { status: 'rejected', reason: ended },
      { status: 'rejected', reason: ended },
    ])
    expect(await thread.request('a')).toBe('a 1')
    thread.close()
  })

  test('rejects what waits when it is closed', async () => {
    const thread = create()
    const waiting = thread.request('a')
    thread.close()
    await expect(waiting).rejects.toThrow('the test thread is closed')
  })
})
