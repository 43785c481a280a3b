import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { createEventCounters } from '../../../src/observability/event-counters.ts'

const count = fc.nat(50)
const outcome = fc.record({
  accepted: count,
  duplicates: count,
  dropped: count,
  quotaDropped: count,
  diverted: count,
  rejections: fc.array(
    fc.constantFrom({ code: 'missing_event_name' as const }, { code: 'event_too_large' as const }),
  ),
  moreRejected: fc.record({ missing_event_name: count, event_too_large: count }),
})

test('counts as received the sum of all outcomes, in any order of calls', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(outcome, count)), (steps) => {
      const counters = createEventCounters()
      for (const step of steps) {
        if (typeof step === 'number') counters.addRefused('capture', step, 'journal_full')
        else counters.addOutcome('capture', step)
      }
      const { received, accepted, duplicate, dropped, quotaDropped, rejected } =
        counters.byContract.capture
      const rejections = Object.values(rejected).reduce((sum, events) => sum + events, 0)
      expect(received).toBe(accepted + duplicate + dropped + quotaDropped + rejections)
    }),
  )
})

test('counts altered events by kind and project, for at most 100 projects of the projects file', () => {
  const counters = createEventCounters((project) => project.startsWith('listed'))
  for (const project of ['chosen-by-a-client', 'listed-0', 'listed-0']) {
    counters.addAltered(project, 'duplicate')
  }
  counters.addAltered('listed-0', 'text_cut')
  expect([...counters.alteredByProject]).toEqual([
    ['other', { duplicate: 1 }],
    ['listed-0', { duplicate: 2, text_cut: 1 }],
  ])
  for (let index = 0; index < 500; index += 1) {
    counters.addAltered(`listed-${index}`, 'duplicate')
  }
  expect(counters.alteredByProject.size).toBe(101)
  expect(counters.alteredByProject.get('listed-0')!.duplicate).toBe(3)
  expect(counters.alteredByProject.get('other')!.duplicate).toBe(401)
})

test('counts the events of at most 100 projects of the projects file', () => {
  const counters = createEventCounters((project) => project.startsWith('listed'))
  counters.addOfProject('chosen-by-a-client', 'accepted', 3)
  for (let index = 0; index < 500; index += 1)
    counters.addOfProject(`listed-${index}`, 'accepted', 2)
  expect(counters.eventsByProject.size).toBe(101)
  expect(counters.eventsByProject.get('listed-0')).toEqual({
    ...{ accepted: 2, duplicate: 0, quota_dropped: 0 },
  })
  expect(counters.eventsByProject.get('other')!.accepted).toBe(3 + 400 * 2)
})
