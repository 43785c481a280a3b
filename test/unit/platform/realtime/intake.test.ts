import { describe, expect, test } from 'bun:test'
import {
  createIntake,
  createPace,
  earlyBytesMax,
  earlyPacketsMax,
} from '../../../../src/platform/realtime/limits.ts'
import { until } from '../../../support/until.ts'

const open: { readyState: number } = { readyState: WebSocket.OPEN }

describe('the intake of a connection', () => {
  const limits = { bytesPerSecond: 1000, bytesBurst: 50_000 }

  test('is small until the connection is admitted', () => {
    const byPackets = createIntake(limits, () => 0)
    const taken = Array.from({ length: earlyPacketsMax + 1 }, () => byPackets.take(1))
    expect(taken).toEqual([...new Array(earlyPacketsMax).fill(true), false])
    const byBytes = createIntake(limits, () => 0)
    expect([byBytes.take(earlyBytesMax), byBytes.take(1)]).toEqual([true, false])
    byBytes.admit()
    expect([byBytes.isEarly(), byBytes.take(earlyBytesMax)]).toEqual([false, true])
  })

  test('of a member is twice the limit of its messages', () => {
    let nowMs = 0
    const intake = createIntake(limits, () => nowMs)
    intake.admit()
    expect([intake.take(100_000), intake.take(1000)]).toEqual([true, false])
    nowMs = 500
    expect(intake.take(1000)).toBe(true)
  })
})

describe('pace', () => {
  const large = 'x'.repeat(100_000)

  function start() {
    const handled: string[] = []
    const ended: unknown[] = []
    const pace = createPace<typeof open>({
      handle: (_, message) => void handled.push(String(message).slice(0, 5)),
      end: (ws) => void ended.push(ws),
      ownBytesMax: 250_000,
    })
    return { pace, handled, ended }
  }

  test('handles small messages at once, and one large one an iteration', async () => {
    const { pace, handled } = start()
    const other = { ...open }
    pace(open, `1${large}`)
    pace(open, `2${large}`)
    pace(other, 'small')
    expect(handled).toEqual(['small'])
    await new Promise((resolve) => setImmediate(resolve))
    expect(handled).toHaveLength(2)
    await until(() => handled.length === 3)
    expect(handled).toEqual(['small', '1xxxx', '2xxxx'])
  })

  test('keeps the order of one websocket, and drops what waits when it closes', async () => {
    const { pace, handled } = start()
    const ws = { ...open }
    pace(ws, `1${large}`)
    pace(ws, '2')
    await until(() => handled.length === 2)
    expect(handled).toEqual(['1xxxx', '2'])
    pace(ws, `3${large}`)
    ws.readyState = WebSocket.CLOSED
    pace(open, `4${large}`)
    await until(() => handled.length === 3)
    expect(handled.at(-1)).toBe('4xxxx')
  })

  test('ends a websocket of which too much waits', () => {
    const { pace, ended } = start()
    for (let at = 0; at < 3; at += 1) pace(open, large)
    expect(ended).toEqual([open])
  })

  const sync = (ms: number) => {
    const endMs = performance.now() + ms
    while (performance.now() < endMs);
  }
  const iteration = () => new Promise((resolve) => setImmediate(resolve))

  test('many small messages of one websocket do not make another wait for as many iterations', async () => {
    const handled: unknown[] = []
    const pace = createPace<typeof open>({
      handle(ws, message) {
        handled.push(ws)
        if (message === 'slow') sync(12)
      },
      end() {},
      ownBytesMax: 8 * 1024 * 1024,
    })
    const [busy, flood, other] = [{ ...open }, { ...open }, { ...open }]
    pace(busy, 'slow')
    for (let at = 0; at < 20_000; at += 1) pace(flood, 'x')
    pace(other, 'x')
    for (let count = 0; count < 20 && !handled.includes(other); count += 1) await iteration()
    expect(handled).toContain(other)
  })

  test('messages of a websocket that has closed do not make another wait', async () => {
    const handled: unknown[] = []
    const pace = createPace<typeof open>({
      handle: (ws) => void handled.push(ws),
      end() {},
      ownBytesMax: 8 * 1024 * 1024,
    })
    const [flood, other] = [{ ...open }, { ...open }]
    for (let at = 0; at < 50; at += 1) pace(flood, large)
    pace(other, large)
    flood.readyState = WebSocket.CLOSED
    await iteration()
    await iteration()
    expect(handled).toEqual([other])
  })

  test('bounds the number of small messages that wait', () => {
    const { pace, ended } = start()
    pace(open, large)
    for (let at = 0; at < 10_000; at += 1) pace(open, '')
    expect(ended).toContain(open)
  })
})
