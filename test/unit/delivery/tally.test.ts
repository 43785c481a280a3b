import { describe, expect, test } from 'bun:test'
import { silentLog } from '../../../src/core/log.ts'
import { addTallies, createTally } from '../../../src/delivery/tally.ts'
import { makeDeadLetter, makeEvent, makeLink, toBatch } from './clickhouse/fixtures.ts'
import { makeLog } from './kafka/fixtures.ts'

describe('a tally', () => {
  test('counts what is shipped by source, without dead letters', () => {
    const tally = createTally('clickhouse', silentLog)
    tally.shipped(toBatch([makeEvent(0), makeLink(1), makeEvent(2), makeDeadLetter(3)]))
    expect(tally.snapshot()).toEqual({
      ...{ shipped: { capture: 2, link: 1 }, deadLettered: {}, retries: {}, batches: 1 },
    })
  })

  test('counts an event as shipped or as dead, not as both', () => {
    const tally = createTally('clickhouse', silentLog)
    const records = [makeEvent(0), makeEvent(1), makeEvent(2)]
    tally.report.deadLettered(records[1]!, 'cannot_parse_uuid')
    tally.shipped(toBatch(records))
    tally.shipped(toBatch(records))
    const { shipped, deadLettered } = tally.snapshot()
    expect([shipped, deadLettered]).toEqual([{ capture: 5 }, { cannot_parse_uuid: 1 }])
  })

  test('keeps the last error until a batch goes through', () => {
    const tally = createTally('clickhouse', silentLog)
    tally.report.retried('timeout', 'first')
    tally.report.retried('timeout', 'second')
    expect([tally.lastError(), tally.snapshot().retries]).toEqual(['second', { timeout: 2 }])
    tally.shipped(toBatch([makeEvent(0)]))
    expect(tally.lastError()).toBeUndefined()
  })

  test('logs ever more rarely while a sink is down, and once when it is back', () => {
    const log = makeLog()
    const tally = createTally('clickhouse', log)
    for (let failure = 0; failure < 1000; failure += 1) tally.report.retried('x', 'y')
    expect(log.lines.length).toBe(10)
    tally.shipped(toBatch([makeEvent(0)]))
    expect(log.lines.at(-1)).toMatchObject({ level: 'info', message: 'sink works again' })
  })

  test('can be added to another, and to none', () => {
    const a = { shipped: { capture: 1 }, deadLettered: { x: 1 }, retries: {}, batches: 2 }
    const b = { shipped: { capture: 2, link: 3 }, deadLettered: {}, retries: { y: 1 }, batches: 1 }
    expect(addTallies(a, b)).toEqual({
      ...{
        shipped: { capture: 3, link: 3 },
        deadLettered: { x: 1 },
        retries: { y: 1 },
        batches: 3,
      },
    })
    expect(addTallies(undefined, a)).toEqual(a)
  })
})
