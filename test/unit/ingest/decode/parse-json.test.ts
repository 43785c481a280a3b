import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { smallBodyBytesMax } from '../../../../src/ingest/decode/body.ts'
import {
  parseLargeJson,
  parseSmallJson,
  toValuesBytes,
} from '../../../../src/ingest/decode/parse-json.ts'

/** As the serving thread parses it, and where it leaves the text to the body thread, as that does. */
function parseJson(text: string): unknown {
  const value = text.length > smallBodyBytesMax ? undefined : parseSmallJson(text)
  if (value !== undefined) return value
  toValuesBytes(text)
  return parseLargeJson(text)
}

describe('numbers', () => {
  test.each([
    ['9007199254740993', 'the first integer that a double cannot hold'],
    ['-9007199254740993', 'its negative'],
    ['12345678901234567890', 'a 64-bit id'],
    ['123456789012345678901234567890', 'an id beyond 64 bits'],
    ['1e400', 'a number beyond a double'],
    ['-1.5E+999', 'its negative'],
    ['1000000000000000000000', 'an integer that would be written with an exponent'],
    ['100000000000000000000', 'an integer that a double holds exactly'],
  ])('%s survives: %s', (number) => {
    const text = `{"a":[${number},{"b":${number}}]}`
    expect(JSON.stringify(parseJson(text))).toBe(text)
  })

  test.each(['0', '-1', '1.5', '1e3', '1e300', '9007199254740991', '0.1234567890123456789'])(
    '%s stays a number',
    (number) => {
      expect(parseJson(`[${number}]`)).toEqual([Number(number)])
      expect(parseJson(`[${number},9007199254740993]`)).toEqual([Number(number), expect.anything()])
    },
  )

  test('any integer survives', () => {
    const integer = fc.bigInt({ min: -(10n ** 40n), max: 10n ** 40n }).map(String)
    fc.assert(fc.property(fc.array(integer), (items) => roundTrips(`[${items.join(',')}]`)))
  })

  test('digits in strings stay strings', () => {
    expect(parseJson('["9007199254740993", "1e400"]')).toEqual(['9007199254740993', '1e400'])
  })
})

const roundTrips = (text: string) => JSON.stringify(parseJson(text)) === text

describe('keys and strings', () => {
  test.each(['{"a":{"__proto__":{"polluted":1}}}', '{"__proto__":{"n":9007199254740993}}'])(
    '%s keeps __proto__ as plain data',
    (text) => {
      expect(JSON.stringify(parseJson(text))).toBe(text)
      expect(({} as { polluted?: number }).polluted).toBeUndefined()
    },
  )

  test('lone surrogates and NUL pass through', () => {
    expect(parseJson('["\\ud800","\\u0000"]')).toEqual(['\ud800', '\u0000'])
  })
})

describe('nesting', () => {
  const arrays = (levels: number, inner = '') => '['.repeat(levels) + inner + ']'.repeat(levels)
  const objects = (levels: number) => `${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`
  /** Above 64 KiB the nesting is checked in the text, below it in the value. */
  const padding = ' '.repeat(70_000)

  test.each([
    ['arrays', arrays],
    ['objects', objects],
    ['arrays in a large body', (levels: number) => arrays(levels) + padding],
    ['objects in a large body', (levels: number) => objects(levels) + padding],
    ['arrays around a big integer', (levels: number) => arrays(levels, '9007199254740993')],
    [
      'arrays after strings of brackets',
      (levels: number) => `{"[[\\\\\\"[{":${arrays(levels - 1)}}`,
    ],
  ])('of %s ends at 200 levels', (_, nested) => {
    expect(() => parseJson(nested(200))).not.toThrow()
    expect(() => parseJson(nested(201))).toThrow('nested deeper than 200')
  })

  test.each([10_000, 60_000, 1_000_000, 20_000_000])(
    'of %d open brackets is refused without a crash',
    (n) => {
      expect(() => parseJson('['.repeat(n))).toThrow()
      expect(() => parseJson('{"a":'.repeat(n / 10))).toThrow()
    },
  )

  test('ignores brackets inside strings', () => {
    const brackets = '['.repeat(300)
    for (const pad of ['', padding]) {
      for (const escaped of ['', '\\"', '\\\\', '\\\\\\"']) {
        const text = `["${escaped}${brackets}",{"${escaped}${brackets}":"${brackets}${escaped}"}]${pad}`
        expect(parseJson(text)).toEqual(JSON.parse(text))
      }
    }
  })

  test('closed brackets do not count', () => {
    expect(() => parseJson(`[${'[],{},'.repeat(20_000)}1]`)).not.toThrow()
  })
})
