import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { createRoom, type Room, type Ticket } from '../../src/admit/room.ts'

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
  expect(tickets).toHaveLength(11)
  expect(Array.from({ length: 1000 }, () => tryEnter(room, 600)).every(Boolean)).toBe(true)
  expect(room.used()).toEqual({ bytes: 220 * mib + 600_000, requests: 1011, refused: 589 })
})

test('large requests leave places to small ones too', () => {
  const room = createRoom({ bytesMax: 256 * mib, requestsMax: 80 })
  const large = Array.from({ length: 80 }, () => tryEnter(room, 100_000)).filter(Boolean)
  expect(large).toHaveLength(70)
  expect(Array.from({ length: 20 }, () => tryEnter(room, 1)).filter(Boolean)).toHaveLength(10)
})

test('a body that grows past what is left is refused where it stands, and gives it all back', () => {
  const room = createRoom({ bytesMax: 10 * mib, requestsMax: 10 })
  const ticket = room.enter(0)
  ticket.grow(8 * mib)
  expect(() => ticket.grow(mib)).toThrow('the server holds as many requests as it can')
  expect(room.used().bytes).toBe(8 * mib)
  ticket.leave()
  ticket.leave()
  ticket.grow(mib)
  expect(room.used()).toMatchObject({ bytes: 0, requests: 0 })
})

test('a small request that unpacks to a large one counts as large', () => {
  const room = createRoom({ bytesMax: 8 * mib, requestsMax: 100 })
  const ticket = room.enter(1000)
  ticket.grow(7 * mib - 1000)
  expect(tryEnter(room, 100_000)).toBeUndefined()
  expect(tryEnter(room, 1000)).toBeDefined()
})

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
      expect(() => whole.grow(mib * (7 / 8))).not.toThrow()
      expect(() => whole.grow(1)).toThrow()
    }),
  )
})
