import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import {
  type AdmissionTicket,
  createMemoryAdmission,
  type MemoryAdmission,
} from '../../../../src/ingest/load-shedding/admission-ticket.ts'

const mib = 1024 * 1024

function tryAdmit(memory: MemoryAdmission, bytes: number): AdmissionTicket | undefined {
  try {
    return memory.admit(bytes)
  } catch (error) {
    expect(error).toMatchObject({
      code: 'too_busy',
      status: 503,
      details: { retryAfterSeconds: 1 },
    })
    return undefined
  }
}

test('600 bodies of 20 MB: admits as many as fit, refuses the rest, still admits small events', () => {
  const memory = createMemoryAdmission({ bytesMax: 256 * mib, requestsMax: 4096 })
  const tickets = Array.from({ length: 600 }, () => tryAdmit(memory, 20 * mib)).filter(Boolean)
  expect(tickets).toHaveLength(3)
  expect(Array.from({ length: 1000 }, () => tryAdmit(memory, 600)).every(Boolean)).toBe(true)
  expect(memory.used()).toEqual({ bytes: 60 * mib + 600_000, requests: 1003, refused: 597 })
})

test('large requests leave part of the request limit to small ones', () => {
  const memory = createMemoryAdmission({ bytesMax: 256 * mib, requestsMax: 80 })
  const large = Array.from({ length: 80 }, () => tryAdmit(memory, 100_000)).filter(Boolean)
  expect(large).toHaveLength(60)
  expect(Array.from({ length: 40 }, () => tryAdmit(memory, 1)).filter(Boolean)).toHaveLength(20)
})

test('refuses a body that grows beyond the capacity, and frees all of it on release', () => {
  const memory = createMemoryAdmission({ bytesMax: 10 * mib, requestsMax: 10 })
  const ticket = memory.admit(0)
  ticket.charge(7 * mib)
  expect(() => ticket.charge(mib)).toThrow('the server holds as many requests as it can')
  expect(memory.used().bytes).toBe(7 * mib)
  ticket.release()
  ticket.release()
  ticket.charge(mib)
  expect(memory.used()).toMatchObject({ bytes: 0, requests: 0 })
})

test('a small request that decodes to a large one counts as large', () => {
  const memory = createMemoryAdmission({ bytesMax: 8 * mib, requestsMax: 100 })
  const ticket = memory.admit(1000)
  ticket.charge(6 * mib - 1000)
  expect(tryAdmit(memory, 100_000)).toBeUndefined()
  expect(tryAdmit(memory, 1000)).toBeDefined()
})

describe('the work on large bodies', () => {
  test('waits for the work on another, and until its memory is collected', async () => {
    const { memory, collect } = createCollectedMemory()
    const [first, second, third] = [
      memory.admit(8 * mib),
      memory.admit(8 * mib),
      memory.admit(8 * mib),
    ]
    expect(first.reserveWork(120 * mib)).toBeUndefined()
    const order: string[] = []
    const waits = [second.reserveWork(120 * mib), third.reserveWork(1)]
    for (const [index, wait] of waits.entries()) wait!.then(() => order.push(`${index}`))
    await Promise.resolve()
    expect(order).toEqual([])
    first.release()
    expect(memory.used()).toMatchObject({ bytes: 16 * mib, requests: 2 })
    await Promise.resolve()
    expect(order).toEqual([])
    collect()
    await Promise.all(waits)
    expect(order).toEqual(['0', '1'])
    expect(memory.used().bytes).toBe(136 * mib + 1)
  })

  test('is refused if it can never fit, and the next one starts', async () => {
    const { memory } = createCollectedMemory()
    const [heavy, light] = [memory.admit(30 * mib), memory.admit(30 * mib)]
    await expect(heavy.reserveWork(140 * mib)).rejects.toMatchObject({ code: 'too_busy' })
    expect(light.reserveWork(100 * mib)).toBeUndefined()
  })
})

test('admits a body of any size while it is the only one', () => {
  const { memory } = createCollectedMemory()
  const only = memory.admit(150 * mib)
  expect(tryAdmit(memory, 100_000)).toBeUndefined()
  only.release()
  expect(memory.used()).toMatchObject({ bytes: 0, requests: 0 })
})

function createCollectedMemory() {
  let callbacks: (() => void)[] = []
  const collect = () => {
    const collected = callbacks
    callbacks = []
    for (const onCollected of collected) onCollected()
  }
  const collector = {
    add: (_: number, onCollected = () => {}) => void callbacks.push(onCollected),
    collectSoon() {},
  }
  const memory = createMemoryAdmission({ bytesMax: 256 * mib, requestsMax: 100, collector })
  return { memory, collect }
}

describe('turn', () => {
  /** `count` requests that decompress until their gate opens. */
  function decompressMany(memory: MemoryAdmission, count: number) {
    const started: number[] = []
    const gates = Array.from({ length: count }, () => Promise.withResolvers<number>())
    const outcomes = gates.map(({ promise }, index) =>
      memory
        .admit(1000)
        .workAlone(() => {
          started.push(index)
          return promise
        })
        .catch((error) => (error as { code?: string }).code ?? 'failed'),
    )
    return { started, gates, outcomes }
  }

  const tick = async () => {
    for (let hop = 0; hop < 10; hop += 1) await Promise.resolve()
  }

  test('runs alone, in order of arrival, also after a failure', async () => {
    const memory = createMemoryAdmission({ bytesMax: 256 * mib, requestsMax: 100 })
    const { started, gates, outcomes } = decompressMany(memory, 4)
    await tick()
    expect(started).toEqual([0])
    gates[0]!.reject(new Error('no'))
    expect(await outcomes[0]).toBe('failed')
    await tick()
    expect(started).toEqual([0, 1])
    for (const [index, { resolve }] of gates.entries()) resolve(index)
    expect(await Promise.all(outcomes)).toEqual(['failed', 1, 2, 3])
    expect(started).toEqual([0, 1, 2, 3])
  })

  test('is refused beyond 64 that wait', async () => {
    const memory = createMemoryAdmission({ bytesMax: 256 * mib, requestsMax: 100 })
    const { started, gates, outcomes } = decompressMany(memory, 67)
    expect(await Promise.all(outcomes.slice(65))).toEqual(['too_busy', 'too_busy'])
    for (const [index, { resolve }] of gates.entries()) resolve(index)
    await Promise.all(outcomes)
    expect(started).toEqual(Array.from({ length: 65 }, (_, index) => index))
  })

  test('goes on while others wait for memory, and those do not overtake each other', async () => {
    const { memory, collect } = createCollectedMemory()
    const [first, second, third] = [memory.admit(mib), memory.admit(mib), memory.admit(mib)]
    expect(first.reserveWork(150 * mib)).toBeUndefined()
    const order: string[] = []
    const waits = [second.reserveWork(100 * mib), third.reserveWork(1)]
    for (const [index, wait] of waits.entries()) void wait!.then(() => order.push(`work ${index}`))
    const { started, gates, outcomes } = decompressMany(memory, 2)
    gates[0]!.resolve(0)
    await tick()
    expect({ started, order }).toEqual({ started: [0, 1], order: [] })
    gates[1]!.resolve(1)
    first.release()
    collect()
    await Promise.all([...waits, ...outcomes])
    expect(order).toEqual(['work 0', 'work 1'])
  })

  test('keeps its place while it waits for memory, which it may need before others', async () => {
    const { memory, collect } = createCollectedMemory()
    const busy = memory.admit(mib)
    expect(busy.reserveWork(150 * mib)).toBeUndefined()
    const ticket = memory.admit(mib)
    const decoded = ticket.workAlone(async () => ticket.reserveWork(100 * mib))
    const { started, gates, outcomes } = decompressMany(memory, 1)
    await tick()
    expect(started).toEqual([])
    busy.release()
    collect()
    await decoded
    await tick()
    expect(started).toEqual([0])
    gates[0]!.resolve(0)
    await Promise.all(outcomes)
  })
})

test('limits hold and nothing leaks, whatever comes and goes', () => {
  const step = fc.record({ at: fc.nat(20), bytes: fc.nat(300_000), isReleased: fc.boolean() })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const memory = createMemoryAdmission({ bytesMax: mib, requestsMax: 12 })
      const tickets = new Map<number, AdmissionTicket>()
      for (const { at, bytes, isReleased } of steps) {
        const ticket = tickets.get(at)
        if (ticket === undefined) {
          const admitted = tryAdmit(memory, bytes)
          if (admitted !== undefined) tickets.set(at, admitted)
        } else if (isReleased) {
          ticket.release()
          tickets.delete(at)
        } else {
          try {
            ticket.charge(bytes)
          } catch {}
        }
        expect(memory.used().bytes).toBeLessThanOrEqual(mib)
        expect(memory.used().requests).toBe(tickets.size)
        expect(tickets.size).toBeLessThanOrEqual(12)
      }
      for (const ticket of tickets.values()) ticket.release()
      expect(memory.used()).toMatchObject({ bytes: 0, requests: 0 })
      const whole = memory.admit(0)
      expect(() => whole.charge(mib * (3 / 4))).not.toThrow()
      expect(() => whole.charge(1)).toThrow()
    }),
  )
})
