import { describe, expect, test } from 'bun:test'
import { createCounters } from '../../../../src/platform/realtime/counters.ts'
import { spreadFanOut } from '../../../../src/platform/realtime/fan-out.ts'
import type { Io } from '../../../../src/platform/realtime/messages.ts'
import { until } from '../../../support/until.ts'

type Options = { sockets: number; us?: number; isTimeUsed?: () => boolean }

/** An adapter whose sockets are numbers; each delivery takes `us` µs. */
function start({ sockets, us = 0, isTimeUsed }: Options) {
  const got: string[] = []
  const adapter = {
    _encode: (text: string, _options?: unknown) => [text],
    apply(_: { rooms: Set<string> }, each: (socket: number) => void) {
      for (let socket = 0; socket < sockets; socket += 1) each(socket)
    },
  }
  const counters = createCounters()
  const fanOut = spreadFanOut({ sockets: { adapter } } as unknown as Io, counters, isTimeUsed)
  function send(room: string, text: string): void {
    const [encoded] = adapter._encode(text)
    adapter.apply({ rooms: new Set([room]) }, (socket) => {
      const endMs = performance.now() + us / 1000
      while (performance.now() < endMs);
      got.push(`${socket} ${encoded}`)
    })
  }
  return { fanOut, counters, got, send }
}

const toAll = (sockets: number, text: string) =>
  Array.from({ length: sockets }, (_, socket) => `${socket} ${text}`)

describe('the fan-out of messages', () => {
  test('delivers a message to few sockets at once', () => {
    const { got, send, counters } = start({ sockets: 20, isTimeUsed: () => false })
    send('public:a', 'm')
    expect(got).toEqual(toAll(20, 'm'))
    expect(counters.read()).toMatchObject({ sent: 20 })
  })

  test('spreads a message to many over iterations, and keeps the order', async () => {
    const sockets = 200
    const { got, send } = start({ sockets, us: 200 })
    send('public:a', 'first')
    send('public:a', 'second')
    const atOnce = got.length
    expect(atOnce).toBeLessThan(sockets)
    send('socket-id', 'ack')
    expect(got.slice(atOnce)).toEqual(toAll(sockets, 'ack'))
    await until(() => got.length === 3 * sockets)
    expect(got.filter((line) => !line.endsWith('ack'))).toEqual([
      ...toAll(sockets, 'first'),
      ...toAll(sockets, 'second'),
    ])
  })

  test('is full while too many deliveries or bytes wait', () => {
    const many = start({ sockets: 150_000, us: 1 })
    many.send('public:a', 'm')
    many.send('public:a', 'm')
    expect(many.fanOut.isFull()).toBe(true)
    const large = start({ sockets: 20, us: 1000 })
    const text = 'x'.repeat(33 * 2 ** 20)
    for (let sent = 0; sent < 3; sent += 1) large.send('public:a', text)
    expect(large.fanOut.isFull()).toBe(true)
    for (const { fanOut } of [many, large]) {
      fanOut.flush()
      expect(fanOut.isFull()).toBe(false)
    }
  })

  test('delivers at once what exceeds twice the bound', () => {
    const { got, send } = start({ sockets: 150_000, us: 0.2 })
    for (let sent = 0; sent < 4; sent += 1) send('public:a', 'm')
    expect(got.length).toBeGreaterThan(300_000)
  })

  test('flushes what waits', () => {
    const { got, send, fanOut } = start({ sockets: 100, us: 500 })
    send('public:a', 'm')
    fanOut.flush()
    expect(got).toEqual(toAll(100, 'm'))
  })
})
