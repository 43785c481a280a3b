import { expect, test } from 'bun:test'
import { createSlots } from '../../../../src/embedded/query-api/slots.ts'

const never = new AbortController().signal

function makeSlots({ countMax = 1, queueMax = 10, fails = false } = {}) {
  let started = 0
  const start = async () => {
    if (fails) throw new Error('no engine')
    started += 1
    return started
  }
  return { slots: createSlots<number>({ countMax, queueMax, start }), started: () => started }
}

test('starts workers when needed, up to the maximum', async () => {
  const { slots, started } = makeSlots({ countMax: 2 })
  const first = await slots.take(never)
  slots.give(first)
  expect(await slots.take(never)).toBe(first)
  expect(await slots.take(never)).toBe(2)
  void slots.take(never)
  expect(started()).toBe(2)
})

test('serves waiting callers in order', async () => {
  const { slots } = makeSlots()
  const worker = await slots.take(never)
  const order: string[] = []
  const waiting = ['a', 'b', 'c'].map(async (name) => {
    const mine = await slots.take(never)
    order.push(name)
    slots.give(mine)
  })
  slots.give(worker)
  await Promise.all(waiting)
  expect(order).toEqual(['a', 'b', 'c'])
})

test('rejects when the queue is full', async () => {
  const { slots } = makeSlots({ queueMax: 1 })
  await slots.take(never)
  void slots.take(never)
  await expect(slots.take(never)).rejects.toMatchObject({ code: 202 })
})

test('removes an aborted caller from the queue and serves the next', async () => {
  const { slots } = makeSlots({ queueMax: 1 })
  const worker = await slots.take(never)
  const leaving = new AbortController()
  const left = slots.take(leaving.signal)
  leaving.abort()
  await expect(left).rejects.toMatchObject({ code: 394 })
  const next = slots.take(never)
  slots.give(worker)
  expect(await next).toBe(worker)
})

test('gives no worker to a caller that aborted before', async () => {
  const { slots, started } = makeSlots()
  await expect(slots.take(AbortSignal.abort())).rejects.toThrow()
  expect(started()).toBe(0)
})

test('starts a worker again after a failed start', async () => {
  const { slots } = makeSlots({ fails: true })
  await expect(slots.take(never)).rejects.toThrow('no engine')
  await expect(slots.take(never)).rejects.toThrow('no engine')
})

test('rejects waiting and new callers when it is closed', async () => {
  const { slots } = makeSlots()
  await slots.take(never)
  const waiting = slots.take(never)
  slots.close()
  await expect(waiting).rejects.toMatchObject({ code: 236 })
  await expect(slots.take(never)).rejects.toMatchObject({ code: 236 })
})
