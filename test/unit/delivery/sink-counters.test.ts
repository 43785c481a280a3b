import { describe, expect, test } from 'bun:test'
import { silentLog } from '../../../src/core/log.ts'
import { addCounts, createSinkCounters } from '../../../src/delivery/sink-counters.ts'
import { makeDeadLetter, makeEvent, makeLink, toBatch } from './clickhouse/fixtures.ts'
import { makeLog } from './kafka/fixtures.ts'

describe('sink counters', () => {
  test('count shipped events by source, without dead letters', () => {
    const counters = createSinkCounters('clickhouse', silentLog)
    counters.shipped(toBatch([makeEvent(0), makeLink(1), makeEvent(2), makeDeadLetter(3)]))
    expect(counters.snapshot()).toEqual({
      ...{ shipped: { capture: 2, link: 1 }, deadLettered: {}, retries: {}, batches: 1 },
    })
  })

  test('count an event as shipped or as a dead letter, never as both', () => {
    const counters = createSinkCounters('clickhouse', silentLog)
    const records = [makeEvent(0), makeEvent(1), makeEvent(2)]
    counters.report.deadLettered(records[1]!, 'cannot_parse_uuid')
    counters.shipped(toBatch(records))
    counters.shipped(toBatch(records))
    const { shipped, deadLettered } = counters.snapshot()
    expect([shipped, deadLettered]).toEqual([{ capture: 5 }, { cannot_parse_uuid: 1 }])
  })

  test('keep the last error until a batch is shipped', () => {
    const counters = createSinkCounters('clickhouse', silentLog)
    counters.report.retried('timeout', 'first')
    counters.report.retried('timeout', 'second')
    expect([counters.lastError(), counters.snapshot().retries]).toEqual(['second', { timeout: 2 }])
    counters.shipped(toBatch([makeEvent(0)]))
    expect(counters.lastError()).toBeUndefined()
  })

  test('log at doubling intervals while a sink fails, and once when it recovers', () => {
    const log = makeLog()
    const counters = createSinkCounters('clickhouse', log)
    for (let failure = 0; failure < 1000; failure += 1) counters.report.retried('x', 'y')
    expect(log.lines.length).toBe(10)
    counters.shipped(toBatch([makeEvent(0)]))
    expect(log.lines.at(-1)).toMatchObject({ level: 'info', message: 'sink works again' })
  })

  test('are added to others, and to none', () => {
    const a = { shipped: { capture: 1 }, deadLettered: { x: 1 }, retries: {}, batches: 2 }
    const b = { shipped: { capture: 2, link: 3 }, deadLettered: {}, retries: { y: 1 }, batches: 1 }
    expect(addCounts(a, b)).toEqual({
      ...{
        shipped: { capture: 3, link: 3 },
        deadLettered: { x: 1 },
        retries: { y: 1 },
        batches: 3,
      },
    })
    expect(addCounts(undefined, a)).toEqual(a)
  })
})
