import { expect, test } from 'bun:test'
import type { ErrorCode } from '../../../src/core/errors.ts'
import type { Rejection } from '../../../src/core/event.ts'
import { toDeadLetters } from '../../../src/ingest/dead-letters.ts'

const rejectionOf = (index: number, code: ErrorCode = 'invalid_field'): Rejection => ({
  ...{ index, code, message: 'bad', raw: index },
})
const many = (count: number) => Array.from({ length: count }, (_, index) => rejectionOf(index))
const toLetters = (rejections: Rejection[], moreRejected?: Partial<Record<ErrorCode, number>>) =>
  toDeadLetters({ events: [], dropped: 0, rejections, moreRejected }, 'shop')

test.each([0, 1, 100])('%i rejections are as many dead letters', (count) => {
  expect(toLetters(many(count)).map(({ rejection }) => rejection)).toEqual(many(count))
})

test('one more dead letter counts the others by code, whether they are listed or not', () => {
  const rejections = [...many(120), rejectionOf(120, 'invalid_event')]
  const letters = toLetters(rejections, { invalid_event: 7, event_too_large: 2 })
  expect(letters).toHaveLength(101)
  expect(letters.at(-1)).toEqual({
    project: 'shop',
    rejection: {
      index: 100,
      code: 'more_rejected',
      message: '30 more events of this request were rejected; raw counts them by code',
      raw: { invalid_field: 20, invalid_event: 8, event_too_large: 2 },
    },
  })
})

test.each<ErrorCode>(['unknown_app', 'invalid_api_key', 'origin_not_allowed', 'rate_limited'])(
  'a sender that is refused for %s leaves no dead letter',
  (code) => {
    const refused = Array.from({ length: 200 }, (_, index) => rejectionOf(index, code))
    expect(toLetters([...refused, rejectionOf(200)])).toHaveLength(1)
  },
)

test('an event has the project of its own, if it has one', () => {
  const own = { ...rejectionOf(0), project: 'blog' }
  expect(toLetters([own, rejectionOf(1)]).map(({ project }) => project)).toEqual(['blog', 'shop'])
})
