import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { createMeter } from '../../../src/observability/event-counters.ts'

const count = fc.nat(50)
const settlement = fc.record({
  accepted: count,
  duplicates: count,
  dropped: count,
  quotaDropped: count,
  diverted: count,
  rejections: fc.array(
    fc.constantFrom({ code: 'missing_event_name' as const }, { code: 'event_too_large' as const }),
  ),
})

test('received is the sum of what became of the events, whatever happens', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(settlement, count)), (steps) => {
      const meter = createMeter()
      for (const step of steps) {
        if (typeof step === 'number') meter.refused('capture', step, 'journal_full')
        else meter.settled('capture', step)
      }
      const { received, accepted, duplicate, dropped, quotaDropped, rejected } =
        meter.sheets.capture
      const rejections = Object.values(rejected).reduce((sum, events) => sum + events, 0)
      expect(received).toBe(accepted + duplicate + dropped + quotaDropped + rejections)
    }),
  )
})
