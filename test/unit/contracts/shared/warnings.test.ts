import { describe, expect, test } from 'bun:test'
import {
  addReplacedProperties,
  addUnknownFields,
  addWarning,
  toAltered,
  toWarning,
  toWarningsJson,
  type Warnings,
} from '../../../../src/contracts/shared/warnings.ts'
import { parseSmallJson as parseJson } from '../../../../src/ingest/decode/parse-json.ts'

const known = new Set(['a'])

describe('the value of a warning', () => {
  test.each<[string, unknown, string]>([
    ['a text', 'x', 'x'],
    ['a number', 5, '5'],
    ['a number that no double holds', parseJson('12345678901234567890'), '12345678901234567890'],
    ['an object', { a: [1] }, '{"a":[1]}'],
    ['nothing', undefined, ''],
    ['200 characters', '🎉'.repeat(200), '🎉'.repeat(200)],
  ])('is as sent for %s', (_, value, shown) => {
    expect(toWarning('text_cut', 'f', value)).toEqual({
      kind: 'text_cut',
      field: 'f',
      value: shown,
    })
  })

  test('keeps both ends of a longer text, and so does the name of the field', () => {
    const long = `${'a'.repeat(150)}${'z'.repeat(150)}`
    const short = `${'a'.repeat(100)}…${'z'.repeat(99)}`
    expect(toWarning('field_dropped', long, long)).toMatchObject({ field: short, value: short })
  })

  test('has no half of a surrogate pair', () => {
    const { value } = toWarning('text_cut', 'f', `a${'🎉'.repeat(300)}`)
    expect(value.isWellFormed()).toBe(true)
  })
})

test('an event has at most ten warnings', () => {
  const fields = Object.fromEntries(Array.from({ length: 50_000 }, (_, n) => [`f${n}`, n]))
  const warnings = addUnknownFields(undefined, fields, known)
  expect(warnings).toHaveLength(10)
  expect(addWarning(warnings, toWarning('text_cut', 'f', 'x'))).toHaveLength(10)
})

test('an unknown field is one that its contract does not have and that is not null', () => {
  const event = { a: 1, b: null, c: false }
  expect(addUnknownFields(undefined, event, known)).toEqual([
    { kind: 'field_dropped', field: 'c', value: 'false' },
  ])
  expect(addUnknownFields(undefined, { a: 1 }, known)).toBeUndefined()
})

test('a property is replaced if the server sets its name to another value', () => {
  const own = { $id: 'x', $type: 'page' }
  const replaced = (props: object | null): Warnings => {
    const sent = props as Record<string, unknown> | null
    return addReplacedProperties(undefined, { sent, stored: { ...sent, ...own } }, ['$id', '$type'])
  }
  expect(replaced(null)).toBeUndefined()
  expect(replaced({ $id: 'x', other: 1 })).toBeUndefined()
  expect(replaced({ $id: 7, $ingest_warnings: [] })).toEqual([
    { kind: 'property_replaced', field: '$id', value: '7' },
    { kind: 'property_replaced', field: '$ingest_warnings', value: '[]' },
  ])
})

test('kinds are counted once an event', () => {
  const two = addUnknownFields(undefined, { b: 1, c: 1 }, known)
  expect(toAltered(addWarning(two, toWarning('text_cut', 'f', '')))).toEqual([
    'field_dropped',
    'text_cut',
  ])
  expect(toAltered(undefined)).toBeUndefined()
  expect(toWarningsJson(undefined)).toBe('[]')
})
