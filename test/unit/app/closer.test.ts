import { expect, test } from 'bun:test'
import { createCloser } from '../../../src/app/closer.ts'
import { type Log, silentLog } from '../../../src/core/log.ts'

test('closes in reverse order, each part once', async () => {
  const closed: string[] = []
  const closer = createCloser(silentLog)
  for (const name of ['first', 'second', 'third']) closer.add(name, () => void closed.push(name))
  await closer.close(0)
  await closer.close(0)
  expect(closed).toEqual(['third', 'second', 'first'])
})

test('closes a part early, and not again in its turn', async () => {
  const closed: string[] = []
  const closer = createCloser(silentLog)
  for (const name of ['listener', 'storage']) closer.add(name, () => void closed.push(name))
  closer.add('requests', () => closer.closeEarly('listener'))
  await closer.close(0)
  expect(closed).toEqual(['listener', 'storage'])
})

test('closes the other parts when one fails, and logs its name', async () => {
  const closed: string[] = []
  const errors: object[] = []
  const log: Log = { ...silentLog, error: (fields) => void errors.push(fields) }
  const closer = createCloser(log)
  closer.add('first', () => void closed.push('first'))
  closer.add('broken', async () => {
    throw new Error('disk gone')
  })
  await closer.close(0)
  expect(closed).toEqual(['first'])
  expect(errors).toEqual([{ part: 'broken', error: 'Error: disk gone' }])
})

test('gives every part the rest of one time limit', async () => {
  const given: number[] = []
  const closer = createCloser(silentLog)
  closer.add('second', (withinMs) => void given.push(withinMs))
  closer.add('first', async (withinMs) => {
    given.push(withinMs)
    const startedMs = performance.now()
    while (performance.now() - startedMs < 5) await new Promise(setImmediate)
  })
  await closer.close(1000)
  expect(given[0]).toBeGreaterThan(900)
  expect(given[1]).toBeLessThanOrEqual(given[0]! - 5)
})

test('gives no time without a limit', async () => {
  const given: number[] = []
  const closer = createCloser(silentLog)
  closer.add('part', (withinMs) => void given.push(withinMs))
  await closer.close(0)
  expect(given).toEqual([0])
})
