import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import {
  cutBytes,
  cutText,
  escapeJson,
  isLongerThan,
  toWellFormedJson,
} from '../../../../src/contracts/shared/text.ts'

const anyText = fc.string({
  unit: fc.integer({ max: 0xffff }).map((code) => String.fromCharCode(code)),
})
const fox = '🦊'

test.each<[string, string, number, string]>([
  ['what fits', 'abc', 3, 'abc'],
  ['what is too long', 'abcd', 3, 'abc'],
  ['emoji as one character each', fox.repeat(4), 3, fox.repeat(3)],
  ['no emoji that fits', fox.repeat(3), 3, fox.repeat(3)],
  ['behind a lone surrogate', '\ud83dab', 2, '\ud83da'],
])('cuts %s', (_, text, charactersMax, expected) => {
  expect(cutText(text, charactersMax)).toBe(expected)
  expect(isLongerThan(text, charactersMax)).toBe(expected !== text)
})

test('cuts by code points', () => {
  fc.assert(
    fc.property(anyText, fc.nat(12), (text, max) => {
      expect(cutText(text, max)).toBe([...text].slice(0, max).join(''))
      expect(isLongerThan(text, max)).toBe([...text].length > max)
    }),
  )
})

test('cuts by bytes, between characters, as late as possible', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.integer({ min: 1, max: 20 }), (text, max) => {
      const cut = cutBytes(text, max)
      expect(text.startsWith(cut)).toBe(true)
      expect(Buffer.byteLength(cut)).toBeLessThanOrEqual(max)
      const next = [...text.slice(cut.length)][0]
      if (next) expect(Buffer.byteLength(cut + next)).toBeGreaterThan(max)
    }),
  )
})

test('escapes any text into a well-formed JSON string', () => {
  fc.assert(
    fc.property(anyText, (text) => {
      const json = `"${escapeJson(text)}"`
      expect(JSON.parse(json)).toBe(text.toWellFormed())
      expect(json).not.toMatch(/[\n\r]/)
    }),
  )
})

describe('a lone surrogate in JSON', () => {
  test.each([
    ['"\\ud800"', '"\ufffd"'],
    ['"\\uDFFF!"', '"\ufffd!"'],
    ['"\\ud800\\ud800"', '"\ufffd\ufffd"'],
    ['"\\udc00\\ud800"', '"\ufffd\ufffd"'],
    ['{"\\ud800":["\\udbff"]}', '{"\ufffd":["\ufffd"]}'],
    ['"\\\\ud800"', '"\\\\ud800"'],
    ['"\\\\\\ud800"', '"\\\\\ufffd"'],
    ['"\\ud83e\\udd8a"', '"\\ud83e\\udd8a"'],
    ['"\\ud83e\\uD83E\\uDD8A"', '"\ufffd\\uD83E\\uDD8A"'],
    ['"\\ud7ff\\ue000"', '"\\ud7ff\\ue000"'],
    ['"\\u0000\\n"', '"\\u0000\\n"'],
    [`"${fox}"`, `"${fox}"`],
  ])('%s becomes %s', (json, expected) => {
    expect(toWellFormedJson(json)).toBe(expected)
  })

  test('is replaced wherever JSON.stringify leaves one, and nothing else changes', () => {
    const values = fc.jsonValue({ stringUnit: 'binary' })
    fc.assert(
      fc.property(fc.dictionary(anyText, anyText), values, (texts, value) => {
        const json = toWellFormedJson(JSON.stringify([Object.entries(texts), value]))
        const well = Object.entries(texts).map((pair) => pair.map((text) => text.toWellFormed()))
        expect(JSON.parse(json)).toEqual(JSON.parse(JSON.stringify([well, value])))
      }),
    )
  })
})
