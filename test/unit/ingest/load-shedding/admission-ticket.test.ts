import { expect, test } from 'bun:test'
import fc from 'fast-check'
import {
  createRoom,
  type Room,
  type Ticket,
} from '../../../../src/ingest/load-shedding/admission-ticket.ts'

const mib = 1024 * 1024

function tryEnter(room: Room, bytes: number): Ticket | undefined {
  try {
    return room.enter(bytes)
  } catch (error) {
    expect(error).toMatchObject({
      code: 'too_busy',
      status: 503,
      details: { retryAfterSeconds: 1 },
    })
    return undefined
  }
}

test('600 bodies of 20 MB: as many as fit get in, the rest are refused, small events still get in', () => {
  const room = createRoom({ bytesMax: 256 * mib, requestsMax: 4096 })
  const tickets = Array.from({ length: 600 }, () => tryEnter(room, 20 * mib)).filter(Boolean)
  expect(tickets).toHaveLength(3)
  expect(Array.from({ length: 1000 }, () => tryEnter(room, 600)).every(Boolean)).toBe(true)
  expect(room.used()).toEqual({ bytes: 60 * mib + 600_000, requests: 1003, refused: 597 })
})

test('large requests leave places to small ones too', () => {
  const room = createRoom({ bytesMax: 256 * mib, requestsMax: 80 })
  const large = Array.from({ length: 80 }, () => tryEnter(room, 100_000)).filter(Boolean)
  expect(large).toHaveLength(60)
  expect(Array.from({ length: 40 }, () => tryEnter(room, 1)).filter(Boolean)).toHaveLength(20)
})

test('a body that grows past what is left is refused where it stands, and gives it all back', () => {
  const room = createRoom({ bytesMax: 10 * mib, requestsMax: 10 })
  const ticket = room.enter(0)
  ticket.grow(7 * mib)
  expect(() => ticket.grow(mib)).toThrow('the server holds as many requests as it can')
  expect(room.used().bytes).toBe(7 * mib)
  ticket.leave()
  ticket.leave()
  ticket.grow(mib)
  expect(room.used()).toMatchObject({ bytes: 0, requests: 0 })
})

test('a small request that unpacks to a large one counts as large', () => {
  const room = createRoom({ bytesMax: 8 * mib, requestsMax: 100 })
  const ticket = room.enter(1000)
  ticket.grow(6 * mib - 1000)
  expect(tryEnter(room, 100_000)).toBeUndefined()
  expect(tryEnter(room, 1000)).toBeDefined()
})

test('a large body waits for the work on another, and for what that left to be collected', async () => {
  const { room, collect } = sweptRoom()
  const [first, second, third] = [room.enter(8 * mib), room.enter(8 * mib), room.enter(8 * mib)]
  expect(first.makeRoom(120 * mib)).toBeUndefined()
  const order: string[] = []
  const waits = [second.makeRoom(120 * mib), third.makeRoom(1)]
  for (const [index, wait] of waits.entries()) wait!.then(() => order.push(`${index}`))
  await Promise.resolve()
  expect(order).toEqual([])
  first.leave()
  expect(room.used()).toMatchObject({ bytes: 16 * mib, requests: 2 })
  await Promise.resolve()
  expect(order).toEqual([])
  collect()
  await Promise.all(waits)
  expect(order).toEqual(['0', '1'])
  expect(room.used().bytes).toBe(136 * mib + 1)
})

test('work that nobody can make room for is refused, and the next goes on', async () => {
  const { room } = sweptRoom()
  const [heavy, light] = [room.enter(30 * mib), room.enter(30 * mib)]
  await expect(heavy.makeRoom(140 * mib)).rejects.toMatchObject({ code: 'too_busy' })
  expect(light.makeRoom(100 * mib)).toBeUndefined()
})

test('a body that is alone may arrive whatever its size', () => {
  const { room } = sweptRoom()
  const only = room.enter(150 * mib)
  expect(tryEnter(room, 100_000)).toBeUndefined()
  only.leave()
  expect(room.used()).toMatchObject({ bytes: 0, requests: 0 })
})

function sweptRoom() {
  let left: (() => void)[] = []
  const collect = () => {
    const gone = left
    left = []
    for (const onCollected of gone) onCollected()
  }
  const sweep = { keep: (_: number, onCollected: () => void) => left.push(onCollected), hurry() {} }
  return { room: createRoom({ bytesMax: 256 * mib, requestsMax: 100, sweep }), collect }
}

test('whatever comes and goes, the bounds hold and nothing leaks', () => {
  const step = fc.record({ at: fc.nat(20), bytes: fc.nat(300_000), leaves: fc.boolean() })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const room = createRoom({ bytesMax: mib, requestsMax: 12 })
      const tickets = new Map<number, Ticket>()
      for (const { at, bytes, leaves } of steps) {
        const ticket = tickets.get(at)
        if (ticket === undefined) {
          const entered = tryEnter(room, bytes)
          if (entered !== undefined) tickets.set(at, entered)
        } else if (leaves) {
          ticket.leave()
          tickets.delete(at)
        } else {
          try {
            ticket.grow(bytes)
          } catch {}
        }
        expect(room.used().bytes).toBeLessThanOrEqual(mib)
        expect(room.used().requests).toBe(tickets.size)
        expect(tickets.size).toBeLessThanOrEqual(12)
      }
      for (const ticket of tickets.values()) ticket.leave()
      expect(room.used()).toMatchObject({ bytes: 0, requests: 0 })
      const whole = room.enter(0)
      expect(() => whole.grow(mib * (3 / 4))).not.toThrow()
      expect(() => whole.grow(1)).toThrow()
    }),
  )
})
